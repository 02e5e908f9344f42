//! Rebuilds when a locale changes: `rust_i18n` reads the files at compile time without telling cargo.

fn main() {
    println!("cargo:rerun-if-changed=assets/locales");
    println!("cargo:rerun-if-changed=build.rs");
}
