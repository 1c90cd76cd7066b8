//! Which findings an expectation accepts.

/// Which finding is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FindingPattern {
    /// A finding of this class: a mismatch's (`stale`), a splat's kind (`kasan`), `hang`, `leak` …
    Class(String),
    /// Any splat.
    AnySplat,
    /// A splat with this title and in this function; at least one is given.
    Splat {
        /// Searched for in the title.
        title: Option<Pattern>,
        /// Must match the whole name of the function.
        function: Option<Pattern>,
    },
}

/// A finding, as far as expectations look at it.
#[derive(Debug, Clone, Copy)]
pub struct FindingView<'a> {
    /// Its class word: `stale`, `kasan`, `hang` …
    pub class: &'a str,
    /// Its title.
    pub title: &'a str,
    /// Whether it is a kernel splat.
    pub splat: bool,
    /// The function a splat names.
    pub function: Option<&'a str>,
}

impl FindingPattern {
    /// Whether a finding is the one expected.
    #[must_use]
    pub fn matches(&self, finding: &FindingView<'_>) -> bool {
        match self {
            Self::Class(class) => class == finding.class,
            Self::AnySplat => finding.splat,
            Self::Splat { title, function } => {
                finding.splat
                    && title.as_ref().is_none_or(|p| p.is_match(finding.title))
                    && function
                        .as_ref()
                        .is_none_or(|p| finding.function.is_some_and(|f| p.is_match(f)))
            }
        }
    }
}

/// A regular expression; two are equal when they are spelled alike.
#[derive(Debug, Clone)]
pub struct Pattern {
    spelled: String,
    regex: regex::Regex,
}

impl Pattern {
    /// Compiles a pattern that is searched for, of bounded size.
    ///
    /// # Errors
    /// What is wrong with it, on one line.
    pub fn anywhere(pattern: &str) -> Result<Self, String> {
        Self::compile(pattern, pattern)
    }

    /// Compiles a pattern that must match from start to end, of bounded size.
    ///
    /// # Errors
    /// What is wrong with it, on one line.
    pub fn whole(pattern: &str) -> Result<Self, String> {
        // By itself first: `a)(b` must not become right by what is put around it.
        Self::compile(pattern, pattern)?;
        Self::compile(pattern, &format!("^(?:{pattern})$"))
    }

    fn compile(spelled: &str, pattern: &str) -> Result<Self, String> {
        let built = regex::RegexBuilder::new(pattern).size_limit(1 << 20).build();
        match built {
            Ok(regex) => Ok(Self {
                spelled: spelled.to_owned(),
                regex,
            }),
            Err(e) => Err(e
                .to_string()
                .lines()
                .last()
                .unwrap_or("")
                .trim_start_matches("error:")
                .trim()
                .to_owned()),
        }
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.spelled
    }

    /// Whether the pattern is found.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.spelled == other.spelled && self.regex.as_str() == other.regex.as_str()
    }
}

impl Eq for Pattern {}
