//! What must not happen does not compile: each file in `compile_fail/` is a shortcut past a check, and must be refused by the compiler.

#[test]
fn shortcuts_past_a_check_do_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
