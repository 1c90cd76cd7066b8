//! Crossing, excluding and including, as GitHub Actions defines them; what keys and values mean is not
//! known here.
//!
//! 1. [`cross`]: every combination of the axes' values, the first axis varying slowest.
//! 2. [`exclude`]: a combination goes that has, for every key of an entry, one of the values given.
//! 3. [`include`]: entry by entry, its values are added to each of the *original* combinations unless
//!    one of them would overwrite a value of an axis; what an earlier entry added may be overwritten. An
//!    entry that fits none becomes a new combination, to which no later entry is added.

/// Values by key; a key may have none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Combination<V> {
    pub(super) values: Vec<Option<V>>,
    /// The place of the `include` entry that made it.
    pub(super) made_by: Option<usize>,
}

/// Crosses axes: keys out of `keys`, each with its values.
pub(super) fn cross<V: Clone>(keys: usize, axes: &[(usize, Vec<V>)]) -> Vec<Combination<V>> {
    if axes.is_empty() {
        return Vec::new();
    }
    let mut all = vec![Combination {
        values: vec![None; keys],
        made_by: None,
    }];
    for (key, values) in axes {
        let each = |combination: &Combination<V>| {
            let with = |value: &V| {
                let mut combination = combination.clone();
                combination.values[*key] = Some(value.clone());
                combination
            };
            values.iter().map(with).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(each).collect();
    }
    all
}

/// Takes out what any entry matches; says for each entry whether it matched anything.
pub(super) fn exclude<V, E>(
    all: &mut Vec<Combination<V>>,
    entries: &[E],
    matches: impl Fn(&E, &Combination<V>) -> bool,
) -> Vec<bool> {
    // Against all of them: two entries may take out the same one.
    let used = entries
        .iter()
        .map(|e| all.iter().any(|c| matches(e, c)))
        .collect();
    all.retain(|c| !entries.iter().any(|e| matches(e, c)));
    used
}

/// What came of an entry of `include`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Included {
    /// Values were added to combinations.
    Added,
    /// It fits combinations, which had all its values before.
    Nothing,
    /// It became a combination.
    New,
}

/// Adds entries, each a list of keys and values; `is_axis` says which keys the axes gave.
pub(super) fn include<V: Clone + PartialEq>(
    all: &mut Vec<Combination<V>>,
    is_axis: &[bool],
    entries: &[Vec<(usize, V)>],
) -> Vec<Included> {
    let originals = all.len();
    let mut results = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        let fits = |c: &Combination<V>| {
            entry
                .iter()
                .all(|(key, value)| !is_axis[*key] || c.values[*key].as_ref() == Some(value))
        };
        let mut fitted = false;
        for c in all.iter_mut().take(originals).filter(|c| fits(c)) {
            fitted = true;
            for (key, value) in entry {
                c.values[*key] = Some(value.clone());
            }
        }
        results.push(if !fitted {
            let mut values = vec![None; is_axis.len()];
            for (key, value) in entry {
                values[*key] = Some(value.clone());
            }
            all.push(Combination {
                values,
                made_by: Some(place),
            });
            Included::New
        } else if entry.iter().all(|(key, _)| is_axis[*key]) {
            Included::Nothing
        } else {
            Included::Added
        });
    }
    results
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys of the examples: fruit, animal, color, shape.
    fn entry(pairs: &[(&'static str, &'static str)]) -> Vec<(usize, &'static str)> {
        let key = |name: &str| {
            ["fruit", "animal", "color", "shape"]
                .iter()
                .position(|k| *k == name)
        };
        pairs.iter().map(|(k, v)| (key(k).expect("a key"), *v)).collect()
    }

    fn said(all: &[Combination<&str>]) -> Vec<String> {
        let one = |c: &Combination<&str>| c.values.iter().flatten().copied().collect::<Vec<_>>().join(" ");
        all.iter().map(one).collect()
    }

    /// The example of GitHub's documentation of `include`, with the result that it gives.
    #[test]
    fn include_does_what_is_documented() {
        let axes = [(0, vec!["apple", "pear"]), (1, vec!["cat", "dog"])];
        let mut all = cross(4, &axes);
        let results = include(
            &mut all,
            &[true, true, false, false],
            &[
                entry(&[("color", "green")]),
                entry(&[("color", "pink"), ("animal", "cat")]),
                entry(&[("fruit", "apple"), ("shape", "circle")]),
                entry(&[("fruit", "banana")]),
                entry(&[("fruit", "banana"), ("animal", "cat")]),
            ],
        );
        assert_eq!(
            said(&all),
            [
                "apple cat pink circle",
                "apple dog green circle",
                "pear cat pink",
                "pear dog green",
                "banana",
                "banana cat",
            ]
        );
        use Included::{Added, New};
        assert_eq!(results, [Added, Added, Added, New, New]);
    }

    #[test]
    fn an_entry_of_axis_values_alone_adds_nothing_or_is_new() {
        let axes = [(0, vec!["apple", "pear"]), (1, vec!["cat"])];
        let mut all = cross(2, &axes);
        let entries = [
            entry(&[("fruit", "apple")]),
            entry(&[("fruit", "apple"), ("animal", "dog")]),
        ];
        let results = include(&mut all, &[true, true], &entries);
        assert_eq!(results, [Included::Nothing, Included::New]);
        assert_eq!(said(&all), ["apple cat", "pear cat", "apple dog"]);
    }

    #[test]
    fn exclude_comes_first_and_matches_in_part() {
        let axes = [(0, vec!["apple", "pear"]), (1, vec!["cat", "dog"])];
        let mut all = cross(2, &axes);
        let has = |e: &(usize, &str), c: &Combination<&str>| c.values[e.0] == Some(e.1);
        let used = exclude(&mut all, &[(0, "apple"), (0, "plum")], has);
        assert_eq!(used, [true, false]);
        assert_eq!(said(&all), ["pear cat", "pear dog"]);
        // What was taken out fits nothing any more: it comes back as a new one.
        let back = include(
            &mut all,
            &[true, true],
            &[entry(&[("fruit", "apple"), ("animal", "cat")])],
        );
        assert_eq!(back, [Included::New]);
    }

    #[test]
    fn without_axes_only_include_makes_combinations() {
        let mut all = cross::<&str>(2, &[]);
        assert!(all.is_empty());
        assert_eq!(
            include(&mut all, &[false, false], &[entry(&[("fruit", "apple")])]),
            [Included::New]
        );
    }
}
