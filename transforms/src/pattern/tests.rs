#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn javas_classes_are_ascii_and_a_dash_behind_one_is_a_dash() {
    let email = compile_whole("X", "pattern", r"^[\w-\.]+@([\w-]+\.)+[\w-]{2,4}$", true).unwrap();
    assert!(email.is_match("a-b.c@mail.example.org"));
    assert!(!email.is_match("a b@example.org") && !email.is_match("ä@example.org"));
    let digits = compile_whole("X", "pattern", r"\d+[^\D0]", true).unwrap();
    assert!(digits.is_match("12") && !digits.is_match("10") && !digits.is_match("1٣"));
    let quoted = compile_whole("X", "pattern", r"\Qa.b\E\s?[c]", true).unwrap();
    assert!(quoted.is_match("a.b c") && quoted.is_match("a.bc") && !quoted.is_match("axbc"));
    assert!(compile_whole("X", "pattern", r"\Qa.b", false).unwrap().is_match("A.B"));
}

#[test]
fn what_the_engine_lacks_is_refused_with_the_option() {
    for pattern in ["(?=a)", r"(a)\1", "a(b", "*"] {
        let error = compile("Replace", "pattern", pattern).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.message().starts_with("Replace: option 'pattern' is no regular expression"), "{error}");
    }
}

#[test]
fn matches_follow_one_another_as_in_java() {
    let all = |pattern: &str, text: &str| {
        let pattern = compile("X", "p", pattern).unwrap();
        matches(&pattern, text).map(|found| found.get(0).unwrap().range()).collect::<Vec<_>>()
    };
    assert_eq!(all(".*", "abc"), [0..3, 3..3]);
    assert_eq!(all("x*", "axb"), [0..0, 1..2, 2..2, 3..3]);
    assert_eq!(all("", "äb"), [0..0, 2..2, 3..3]);
    assert_eq!(all("z", "abc"), Vec::<std::ops::Range<usize>>::new());
}

#[test]
fn replacements_are_javas() {
    let pattern = compile("X", "p", r"(?<first>\w)(\w)").unwrap();
    let replaced = |text: &str| {
        let replacement = Replacement::parse("X", "replacement", text, &pattern)?;
        let mut out = String::new();
        replacement.append(&pattern.captures("ab").unwrap(), &mut out);
        Ok::<String, Error>(out)
    };
    assert_eq!(replaced("$2$1").unwrap(), "ba");
    assert_eq!(replaced("${first}x$20").unwrap(), "axb0");
    assert_eq!(replaced(r"\$1\\$0").unwrap(), r"$1\ab");
    assert_eq!(replaced("").unwrap(), "");
    for wrong in ["$3", "$", "$x", "${last}", "a\\"] {
        assert_eq!(replaced(wrong).unwrap_err().kind(), ErrorKind::Config, "{wrong}");
    }
}
