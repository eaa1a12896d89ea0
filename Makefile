# The commands of this repository; each is one or two lines, so that nothing is hidden here.
export ORT_DYLIB_PATH ?= $(CURDIR)/.runtime/onnxruntime/lib/libonnxruntime.so

# From the folder of the package. Waiting threads sleep: LightGBM's would spin against each other on a busy machine.
PYTHON = cd model && OMP_WAIT_POLICY=passive ../.venv/bin/python

.PHONY: run test lint bench bench-durable bench-kafka bench-budget bench-kpi bench-loadtest check-loadtest compare load soak train check-taiwan check-kafka packages runtime charts kafka promtool python-env

run: packages runtime charts
	cargo run --release --package cauce -- serve

test: packages runtime charts kafka promtool python-env
	cargo test --workspace
	@$(PYTHON) -m pytest --quiet training ../scripts

lint: packages python-env
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- --deny warnings
	@$(PYTHON) -m ruff check --config training/ruff.toml training ../scripts ../loadtest/baselines
	@$(PYTHON) -m ruff format --check --config training/ruff.toml training ../scripts ../loadtest/baselines
	@if cargo deny --version > /dev/null 2>&1; then cargo deny check licenses bans sources; \
	else echo "licences and sources are not checked: cargo install --locked cargo-deny"; fi

# All benchmarks in short form, in less than ten minutes and what compiling takes: `make bench ONLY="engine http" REPEATS=3`.
# Figures stand beside their bars and earlier runs on this machine; `STRICT=1` fails where a ratio is worse than 20 of those.
bench: packages runtime $(if $(ONLY),$(filter kafka,$(ONLY)),kafka)
	@python3 scripts/bench $(ONLY) $(if $(REPEATS),--repeats $(REPEATS)) $(if $(STRICT),--strict)

# Crashes, ingest, acknowledgement and restart at full size, in ten minutes: `make bench-durable ROUNDS=20 PEOPLE=100000` takes one.
bench-durable: packages runtime
	@python3 scripts/bench durable --full

# Exactly once under 50 kills, throughput and latency, beside a broker on the same machine: `make bench-kafka KILLS=10` takes less.
bench-kafka: packages runtime kafka
	@python3 scripts/bench kafka --full

# Overload, slow clients, reloads under load and the cache, beside a generator on the same machine: `make bench-budget SECONDS=10` takes less.
bench-budget: packages runtime
	@python3 scripts/bench budget --full

# What KPIs, scrapes and ten watching dashboards cost, in turns with a service that has none: `make bench-kpi PAIRS=3` takes less.
bench-kpi: packages runtime
	@python3 scripts/bench kpi --full

# Beside the design that it replaces, FastAPI and a bare handler, on the same model and applications: `make compare SECONDS=2` takes less.
compare: packages runtime python-env
	@scripts/python-env .venv-baselines loadtest/baselines/requirements.txt
	cargo bench --package cauce-tests --bench compare

# The highest rate and the latency at parts of it, for four workloads, and what the generator could see: `make bench-loadtest SECONDS=1` takes less.
bench-loadtest: packages runtime
	@python3 scripts/bench loadtest --full

# Whether the generator's percentiles are those of another open-loop tool, vegeta; figures in target/bench/agreement.json.
check-loadtest: packages
	@scripts/vegeta
	cargo bench --package cauce-tests --bench agreement

# Offers the load of a scenario to a running service: `make load SCENARIO=mixed ARGS="--rate 500 --html report.html"`.
SCENARIO ?= score
load: packages
	cargo run --release --package cauce-loadtest -- run $(SCENARIO) $(ARGS)

# Load for so many minutes on a service whose bounds are small; fails if memory, handles, log or latency go up and up.
MINUTES ?= 10
soak: packages runtime
	cargo build --release --package cauce --package cauce-loadtest
	@scripts/soak $(MINUTES)

# Makes a bundle anew: `make train BUNDLE=taiwan`.
BUNDLE ?= ahorro-valle
train: packages python-env
	cargo build --release --package cauce --package cauce-loadtest
	$(PYTHON) -m training --bundle $(BUNDLE)

# All 30,000 real applications over HTTP against the training table; figures in target/check/taiwan.json.
check-taiwan: packages runtime python-env
	cargo build --release --package cauce
	$(PYTHON) -m training.check_taiwan

# The same through Kafka, held against the table and against HTTP; figures in target/check/kafka.json.
check-kafka: check-taiwan kafka
	cargo bench --package cauce-tests --bench taiwan

# The system's packages that a build needs.
packages:
	@scripts/packages

# ONNX Runtime's shared library, from the wheel that scripts/onnxruntime.pin names.
runtime:
	@scripts/onnxruntime

# What draws the dashboard's charts, from npm, if it is there.
charts:
	@scripts/uplot

# The broker of tests and benchmarks, from Maven Central; it needs Java.
kafka:
	@scripts/packages test
	@scripts/kafka

# What tests hold the metrics page and the alert rules against, from Debian's package of Prometheus.
promtool:
	@scripts/promtool

# .venv, of the packages that model/training/requirements.txt pins.
python-env:
	@scripts/python-env
