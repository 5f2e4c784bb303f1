//! Patterns for one label of a host, as Go's `path.Match` reads them: `*`, `?`, `[a-z]`, `[^a-z]`, and `\` before a
//! character that stands for itself.
//!
//! Leaves out slashes, which no label has.

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glob(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// Any run of characters.
    Run,
    /// Any character.
    One,
    Literal(char),
    /// A character of these ranges, or of none of them.
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Glob {
    /// `None` for a pattern that is malformed, which Go matches with nothing.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut rest = text.chars().peekable();
        let mut pieces = Vec::new();
        while let Some(c) = rest.next() {
            pieces.push(match c {
                '*' => Piece::Run,
                '?' => Piece::One,
                '\\' => Piece::Literal(rest.next()?),
                '[' => class(&mut rest)?,
                c => Piece::Literal(c),
            });
        }
        Some(Self(pieces))
    }

    pub(super) fn matches(&self, label: &str) -> bool {
        let label: Vec<char> = label.chars().collect();
        let (mut at, mut piece) = (0, 0);
        // Where the last run began, and up to where it reaches so far.
        let mut run = None;
        loop {
            match (self.0.get(piece), label.get(at)) {
                (Some(Piece::Run), _) => {
                    run = Some((piece, at));
                    piece += 1;
                }
                (Some(one), Some(c)) if one.takes(*c) => (at, piece) = (at + 1, piece + 1),
                (None, None) => return true,
                _ => match run {
                    Some((start, reach)) if reach < label.len() => {
                        run = Some((start, reach + 1));
                        (piece, at) = (start + 1, reach + 1);
                    }
                    _ => return false,
                },
            }
        }
    }
}

impl Piece {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Run | Self::One => true,
            Self::Literal(literal) => *literal == c,
            Self::Class { negated, ranges } => {
                ranges.iter().any(|(low, high)| *low <= c && c <= *high) != *negated
            }
        }
    }
}

/// The rest of a class after its `[`.
fn class(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Piece> {
    let negated = rest.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    while ranges.is_empty() || rest.next_if_eq(&']').is_none() {
        let low = class_character(rest)?;
        let high = match rest.next_if_eq(&'-') {
            Some(_) => class_character(rest)?,
            None => low,
        };
        ranges.push((low, high));
    }
    Some(Piece::Class { negated, ranges })
}

fn class_character(rest: &mut impl Iterator<Item = char>) -> Option<char> {
    match rest.next()? {
        '-' | ']' => None,
        '\\' => rest.next(),
        c => Some(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_go() {
        for (pattern, matching, others) in [
            ("", &[""][..], &["a"][..]),
            ("abc", &["abc"], &["abcd", "ab", ""]),
            ("*", &["", "a", "abc"], &[]),
            ("a*", &["a", "abc"], &["", "ba"]),
            ("*c", &["c", "abc", "cc"], &["", "cb"]),
            ("a*c", &["ac", "abc", "acc"], &["a", "acb", "c"]),
            ("a*b*c", &["abc", "a-b-b-c"], &["acb", "ab"]),
            ("**a**", &["a", "bab"], &["b"]),
            ("?", &["a", "ä"], &["", "ab"]),
            ("a?c*", &["abc", "abcd"], &["ac", "ab"]),
            ("r[0-9a]", &["r0", "r5", "ra"], &["r", "rb", "r00"]),
            ("r[^0-9]", &["ra", "r-"], &["r1", "r"]),
            ("[\\-x]", &["-", "x"], &["\\", "a"]),
            ("[a\\]]", &["a", "]"], &["\\"]),
            ("[*]x", &["*x"], &["ax"]),
            ("[[]", &["["], &["]"]),
            ("\\*", &["*"], &["a", "\\*"]),
            ("a]", &["a]"], &["a"]),
            ("[a-ä]", &["z", "ä"], &["A"]),
        ] {
            let glob = Glob::parse(pattern).unwrap();
            let matched = |label: &&&str| glob.matches(label);
            assert!(matching.iter().all(|l| matched(&l)), "{pattern}");
            assert!(!others.iter().any(|l| matched(&l)), "{pattern}");
        }
    }

    #[test]
    fn malformed_patterns_are_none() {
        for pattern in [
            "[", "[]", "[]a]", "[a", "[-]", "[a-]", "[a-", "[^]", "[^", "\\", "a\\", "[\\",
        ] {
            assert_eq!(Glob::parse(pattern), None, "{pattern}");
        }
    }

    #[test]
    fn many_runs_do_not_take_for_ever() {
        let glob = Glob::parse(&"a*".repeat(200)).unwrap();
        assert!(!glob.matches(&format!("{}b{}", "a".repeat(199), "c".repeat(5000))));
    }
}
