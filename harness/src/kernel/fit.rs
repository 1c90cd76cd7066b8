//! Whether the series of a kernel are made for its source: their `fits:` against what the tree says it is.
//!
//! Not here: whether their patches apply; a series that does not say what it fits is only asked that.

use super::KernelError;
use crate::source::{Series, Source};
use crate::spec::series::Fit;

/// Refuses a series that is made for other sources than this one.
///
/// `release` is what the tree says it is.
pub(super) fn check(series: &[Series], source: &Source, release: (u32, u32)) -> Result<(), KernelError> {
    let package = match source {
        Source::Debian { package } => Some(package.as_str()),
        Source::Dir { .. } | Source::Tarball { .. } | Source::Git { .. } | Source::Image { .. } => None,
    };
    for one in series {
        let takes = |fit: &Fit| fit.takes(package, release);
        if !one.fits.is_empty() && !one.fits.iter().any(takes) {
            let fits: Vec<_> = one.fits.iter().map(ToString::to_string).collect();
            let (version, patchlevel) = release;
            return Err(KernelError::DoesNotFit {
                series: one.name.clone(),
                fits: fits.join(", "),
                release: format!("{version}.{patchlevel}"),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SeriesKind;

    fn made_for(fits: &[Fit]) -> Vec<Series> {
        vec![Series {
            name: "some-fix".to_owned(),
            kind: SeriesKind::Fix,
            title: String::new(),
            fits: fits.to_vec(),
            patches: vec![],
        }]
    }

    fn debian() -> Source {
        Source::Debian {
            package: "linux-source-6.12".to_owned(),
        }
    }

    fn dir() -> Source {
        Source::Dir { path: "linux".into() }
    }

    #[test]
    fn one_that_fits_is_enough_and_none_asks_for_nothing() {
        let package = Fit::Package("linux-source-6.12".to_owned());
        let later = Fit::Releases {
            first: (6, 13),
            last: None,
        };
        let series = made_for(&[package, later]);
        assert!(check(&series, &debian(), (6, 12)).is_ok());
        assert!(check(&series, &dir(), (6, 14)).is_ok());
        assert!(check(&made_for(&[]), &dir(), (2, 6)).is_ok());
    }

    #[test]
    fn another_release_is_refused_in_words_that_say_what_to_do() {
        let ranges = [((6, 1), Some((6, 6))), ((6, 10), Some((6, 10))), ((6, 20), None)];
        let fits = ranges.map(|(first, last)| Fit::Releases { first, last });
        let error = check(&made_for(&fits), &dir(), (6, 12)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the series some-fix is made for 6.1..6.6, 6.10, 6.20.., not for a 6.12 kernel"
        );
        let help = miette::Diagnostic::help(&error).unwrap().to_string();
        assert!(help.contains("add 6.12 to `fits`"), "{help}");
    }
}
