# The commands of this repository; each is one or two lines, so that nothing is hidden here.
export ORT_DYLIB_PATH ?= $(CURDIR)/.runtime/onnxruntime/lib/libonnxruntime.so

.PHONY: run test lint bench runtime

run: runtime
	cargo run --release --package cauce -- serve

test: runtime
	cargo test --workspace

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- --deny warnings
	@if cargo deny --version > /dev/null 2>&1; then cargo deny check licenses bans sources; \
	else echo "licences and sources are not checked: cargo install --locked cargo-deny"; fi

bench: runtime
	cargo bench --package cauce-features --bench engine
	cargo bench --package cauce-model --bench inference
	cargo bench --package cauce --bench http
	@scripts/bench-report

# ONNX Runtime's shared library, from the wheel that scripts/onnxruntime.pin names.
runtime:
	@scripts/onnxruntime
