//! Rebuilds when a locale changes: `rust_i18n` reads the files at compile time without telling cargo. Tells tests whether the real
//! images that some of them need lie beside the checkout.

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=assets/locales");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(has_shared)");
    if Path::new("../shared/data").exists() {
        println!("cargo:rustc-cfg=has_shared");
    }
}
