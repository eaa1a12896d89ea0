//! The command `cauce-loadtest`.

fn main() {
    println!("see the library");
}
