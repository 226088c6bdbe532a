# Two commands to remember: `make run` and `make test`.
.PHONY: run test lint fuzz fuzz-api sbom build figures kit load bench chaos soak

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
	cargo test --release --test tidy

# What reads what comes from outside, given a hundred thousand times anything (archives, which are files, five hundred times).
# Tests beside the code that do so are called …_or_refused.
fuzz:
	PROPTEST_CASES=$${PROPTEST_CASES:-100000} cargo test --release --test properties
	PROPTEST_CASES=$${PROPTEST_CASES:-100000} cargo test --release --lib _or_refused

# Calls made up from openapi.json against a running server with a linked session: no 5xx, no status that the document does not know.
fuzz-api: kit
	@deploy/setup.sh --fuzz
	target/release/wardroom-load fuzz-api $(ARGS)

# What the product is made of, as CycloneDX 1.6, in target/sbom.json.
sbom: kit
	target/release/wardroom-load sbom > target/sbom.json

# The figures of the README.
figures: build
	@deploy/setup.sh --test
	cargo test --release --test browser -- --ignored --nocapture figures

# The load and fault kit. Each prints a table; see tests/load.
kit: build
	@deploy/setup.sh --test
	cargo build --release --workspace --bins

# Messages at a fixed rate through real browsers: make load ARGS="--sessions 5 --rate 50 --seconds 60".
load: kit
	target/release/wardroom-load load $(ARGS)

# The kernel's figures, each beside a baseline of the same run.
bench: kit
	target/release/wardroom-load bench $(ARGS)

# Every fault and every kill in full; about three quarters of an hour. make chaos ARGS="--seed 7 --only kills".
chaos: kit
	target/release/wardroom-load chaos $(ARGS)

# Ten minutes of warm-up at full load, half an hour at half load, then every kill.
soak: kit
	target/release/wardroom-load soak $(ARGS)
	target/release/wardroom-load chaos --only kills
