# Two commands to remember: `make run` and `make test`.
.PHONY: run test lint build figures

build:
	@deploy/setup.sh
	cargo build --release --bin wardroom

# A server with a simulated WhatsApp inside: dashboard at http://127.0.0.1:3000, phones at http://127.0.0.1:3002/phones.
run: build
	WARDROOM__ENVIRONMENT=development WARDROOM__SIMULATOR__ENABLED=true target/release/wardroom serve

# Everything runs the release binary; nextest where it is there.
test:
	@deploy/setup.sh --test
	cargo build --release --bin wardroom
	@if cargo nextest --version >/dev/null 2>&1; then cargo nextest run --workspace --release; \
	else cargo test --workspace --release; fi

lint:
	@deploy/setup.sh
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --release -- -D warnings

# The figures of the README.
figures: build
	@deploy/setup.sh --test
	cargo test --release --test browser -- --ignored --nocapture figures
