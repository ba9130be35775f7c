#![allow(clippy::unwrap_used)]

use culvert_config::definition_mistakes;

use super::*;

#[test]
fn definitions_are_sound() {
    assert_eq!(definition_mistakes(OPTIONS), Vec::<String>::new());
}
