use super::*;

#[test]
fn offsets_past_four_gib_are_widened() {
    assert_eq!(widen(4, 1200), 1200);
    assert_eq!(widen(0xffff_fff0, 0x10), 0x1_0000_0010);
    assert_eq!(widen(0x1_0000_0010, 0x30), 0x1_0000_0030);
    // A new file begins at 4 again; its rotate event sets the offset, events stay close.
    assert_eq!(widen(120, 120), 120);
}

#[test]
fn the_logged_form_of_create_table_select_is_told_apart() {
    assert!(contains_start_transaction(b"CREATE TABLE `t` (`a` int) START TRANSACTION"));
    assert!(!contains_start_transaction(b"START TRANSACTION"));
    assert!(!contains_start_transaction(b"CREATE TABLE `t` (`a` int)"));
}
