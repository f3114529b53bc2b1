# `make help` lists the targets. Everything is built from Go modules into bin/; nothing is installed elsewhere.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# No C compiler is needed. The same flags for all, so that all share what is compiled of the standard library and of
# dependencies; debugging information is a seventh of the time. Compilers that run side by side anyway, each with one thread
# and no garbage collection below a limit, are a sixth faster (etcd built twice at once, 81 s instead of 97 s with GOGC=400),
# and Kubernetes' own packages need no optimizer in tests. The image has none of this.
export CGO_ENABLED := 0
export GOFLAGS     ?= -trimpath '-gcflags=all=-dwarf=false -c=1' '-gcflags=k8s.io/...=-dwarf=false -c=1 -N -l' \
                      '-toolexec=env GOGC=off GOMEMLIMIT=1500MiB'
export VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# What `make demo` does: FROM and TO are Consul versions, see hack/tools.
FROM     ?= 1.22.0
TO       ?= 1.22.7
REPLICAS ?= 3
SURGE    ?= 1
KEEP     ?=

# The sizes of the KV store that `make bench-snapshots` measures, in MiB.
SIZES ?= 1,200,1024

# What `make bench-scale` does: how many clusters, with TLS and ACLs unless OPEN is true, and the folder for profiles of the operator
# (empty: none).
CLUSTERS ?= 1000
OPEN     ?= false
PROFILE  ?=

# What `make chaos` does: for how long, and the seed of a former run (empty: a new one).
DURATION ?= 5m
SEED     ?=

# How long `make fuzz` runs each target, and the vulnerability database of `make vulncheck`: live, or else the pinned one.
export FUZZTIME ?= 30s
export VULNDB   ?=

# What `make image` makes.
IMAGE ?= consul-operator:local
ARCH  ?= $(shell go env GOARCH)

KUBECTL ?= bin/kubectl

# Builds programs that are missing or out of date into bin/, with progress.
BUILD := go run ./hack/buildtools
# A Kubernetes control plane; the node that goes with it is in test/lib/localcluster.
CONTROL_PLANE := etcd kube-apiserver kube-controller-manager kube-scheduler kubectl
TEST_TOOLS := gotestsum helm $(CONTROL_PLANE) consul-1.19.2 consul-1.22.0 consul-1.22.7 consul-operator versitygw rclone
# What only stories that take long need.
LONG_TOOLS := certmanager prometheus promtool prometheus-operator

##@ General

.PHONY: help
help: ## List the targets.
	@awk 'BEGIN { FS = ":.*## "; print "Usage: make TARGET [VARIABLE=value ...]" } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z0-9-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' Makefile

##@ See it work

.PHONY: demo
demo: ## Upgrade a real Consul cluster under load (FROM= TO= REPLICAS= SURGE=; KEEP=1 leaves it running).
	@$(BUILD) $(CONTROL_PLANE) consul-$(FROM) consul-$(TO) consul-operator demo
	@exec bin/demo --from=$(FROM) --to=$(TO) --replicas=$(REPLICAS) --surge=$(SURGE) \
	  $(if $(filter-out 0 no false,$(KEEP)),--keep)

.PHONY: bench
bench: ## Compare the operator's upgrade with restarts as a StatefulSet does them (FROM= TO= REPLICAS=).
	@$(BUILD) $(CONTROL_PLANE) consul-$(FROM) consul-$(TO) consul-operator bench
	@exec bin/bench --from=$(FROM) --to=$(TO) --replicas=$(REPLICAS)

.PHONY: bench-security
bench-security: ## Switch encryption, TLS and ACLs on under load, and rotate each secret, beside a plain rollout (TO= REPLICAS=).
	@$(BUILD) $(CONTROL_PLANE) consul-$(TO) consul-operator benchsecurity
	@exec bin/benchsecurity --consul=$(TO) --replicas=$(REPLICAS)

.PHONY: bench-snapshots
bench-snapshots: ## Save, verify and restore clusters of different sizes, and print times and memory (TO= SIZES= MiB; 15 minutes).
	@$(BUILD) $(CONTROL_PLANE) consul-$(TO) consul-operator versitygw benchsnapshots
	@exec bin/benchsnapshots --consul=$(TO) --sizes=$(SIZES)

.PHONY: bench-scale
bench-scale: ## Measure one operator with 1,000 clusters whose agents are one program (CLUSTERS=, OPEN=, PROFILE= folder; 20 minutes).
	@$(BUILD) $(CONTROL_PLANE) benchscale
	@$(MAKE) release
	@exec bin/benchscale --clusters=$(CLUSTERS) --open=$(OPEN) --operator=bin/images/consul-operator $(if $(PROFILE),--profile=$(PROFILE))

##@ Test

.PHONY: test
test: ## Run the daily tests: unit, integration on real Consul, and a part of the simulation beside it (about 14 minutes).
	@$(BUILD) $(TEST_TOOLS)
	@SHORT=1 hack/parts.sh test-unit test-stories,test-others+test-sim

.PHONY: test-unit
test-unit: ## Run the tests that need no load on real Consul: packages, admission, the chart.
	@$(BUILD) $(TEST_TOOLS)
	@hack/test.sh unit

.PHONY: test-stories
test-stories: ## Run the integration tests: the operator on the local cluster, with real Consul under load.
	@$(BUILD) $(TEST_TOOLS) $(if $(SHORT),,$(LONG_TOOLS))
	@hack/test.sh stories

.PHONY: test-others
test-others: ## Run the tests of the local cluster, of the model against real Consul, a minute of chaos, and bench-scale in small.
	@$(BUILD) $(TEST_TOOLS)
	@hack/test.sh others

.PHONY: test-sim
test-sim: ## Run the operator in the simulation, and explore a part of the states.
	@$(BUILD) gotestsum
	@hack/test.sh sim

.PHONY: test-integration
test-integration: ## Run test-stories and test-others (ARGS= are go test flags).
	@hack/parts.sh test-stories test-others

.PHONY: test-e2e
test-e2e: ## Run the essential tests on real nodes: as root on Linux, or on the cluster of KUBECONFIG (at most 8 minutes).
	@hack/e2e.sh specs -ginkgo.label-filter=essential

.PHONY: test-e2e-all
test-e2e-all: ## Run all tests on real nodes (about 25 minutes).
	@hack/e2e.sh specs

.PHONY: test-all
test-all: ## Run all that tests, whole, in more than an hour; make verify and make vulncheck are apart.
	@$(BUILD) $(TEST_TOOLS) $(LONG_TOOLS) chaos
	@SIM_SHARE=week hack/parts.sh test-unit test-stories,test-others+sim \
	  test-e2e-all,chaos,chaos-nodes+sim-operator+mutants+fuzz race

.PHONY: sim
sim: ## Explore the states of the simulation's scenarios: with crashes, faults and stale reads (some minutes).
	@go run ./test/cmd/explore

.PHONY: sim-operator
sim-operator: ## Kill the operator at each effect, let each call fail in each way (half an hour); the tests try a share each day.
	@SIM_SHARE=$(or $(SIM_SHARE),all) go test -vet=off -count=1 -timeout=2h -v ./test/suite/virtualtime

.PHONY: mutants
mutants: ## Break planner, observer and executor in each way of test/cmd/mutants and see that tests notice (ten minutes and more).
	@SIM_SHARE=all go run ./test/cmd/mutants

.PHONY: chaos
chaos: ## Inject faults at random for minutes and check invariants and linearizability (DURATION= SEED=).
	@$(BUILD) $(CONTROL_PLANE) consul-1.22.0 consul-1.22.7 consul-operator chaos
	@exec bin/chaos --duration=$(DURATION) $(if $(SEED),--seed=$(SEED))

.PHONY: chaos-nodes
chaos-nodes: ## The same on real nodes, which are cut off from the network as well: as root on Linux (DURATION= SEED=).
	@hack/e2e.sh chaos --duration=$(DURATION) $(if $(SEED),--seed=$(SEED))

.PHONY: race
race: ## Run units, the simulation of the operator and a minute of chaos under the race detector; needs a C compiler.
	@$(BUILD) $(TEST_TOOLS)
	@hack/race.sh

.PHONY: fuzz
fuzz: ## Run each fuzz test for a while (FUZZTIME=).
	@hack/fuzz.sh

##@ Check

.PHONY: vulncheck
vulncheck: ## Look for known vulnerabilities in what the operator calls (VULNDB=live asks the database of today).
	@$(BUILD) govulncheck indexdb
	@hack/vulncheck.sh

.PHONY: lint
lint: ## Run go vet and golangci-lint.
	@$(BUILD) golangci-lint
	go vet ./...
	bin/golangci-lint run ./...

.PHONY: verify
verify: ## Regenerate everything, lint, and fail if a file changed by it.
	@hack/verify.sh

##@ Change it

.PHONY: build
build: ## Build the operator, bin/consul-operator.
	@$(BUILD) consul-operator

.PHONY: plugin
plugin: ## Build the kubectl plugin, bin/kubectl-consul.
	@$(BUILD) kubectl-consul

.PHONY: release
release: ## Build the operator as it is in the image, bin/images/consul-operator (ARCH=).
	@mkdir -p bin/images
	GOFLAGS=-trimpath GOOS=linux GOARCH=$(ARCH) go build -ldflags "-s -w -X main.version=$(VERSION)" -o bin/images/consul-operator .

.PHONY: image
image: ## Build the operator's image as an archive, bin/images/consul-operator.tar, without a container engine (IMAGE= ARCH=).
	@$(BUILD) image
	@$(MAKE) release
	bin/image --name=$(IMAGE) --out=bin/images/consul-operator.tar --arch=$(ARCH) --entrypoint=/consul-operator \
	  bin/images/consul-operator=/consul-operator

.PHONY: tools
tools: ## Build all tools into bin/: about 20 minutes with empty caches.
	@$(BUILD) all

.PHONY: generate
generate: ## Generate the deepcopy code of the API.
	@$(BUILD) controller-gen
	bin/controller-gen object:headerFile=hack/boilerplate.go.txt paths=./api/...

.PHONY: manifests
manifests: ## Generate the CRDs and the operator's ClusterRole from the markers in the code, and copy what the chart has of config/.
	@$(BUILD) controller-gen
	rm -rf config/crd/bases
	bin/controller-gen crd paths=./api/... output:crd:dir=config/crd/bases
	@# The generator has no marker for the items of a list without a schema: they are objects with any fields.
	sed -E -i.old '/ type: array/ { n; s/^( +)(x-kubernetes-preserve-unknown-fields: true)$$/\1items: {type: object, \2}/; }' \
	  config/crd/bases/*.yaml
	rm config/crd/bases/*.old
	bin/controller-gen rbac:roleName=consul-operator paths=./controllers/... output:rbac:dir=config/rbac
	rm -rf charts/consul-operator/files/crds
	cp -r config/crd/bases charts/consul-operator/files/crds
	cd config/crd && { sed /^resources:/q kustomization.yaml && printf '  - %s\n' bases/*.yaml; } >.new && mv .new kustomization.yaml
	cp config/rbac/role.yaml charts/consul-operator/files/role.yaml
	rm -rf charts/consul-operator/files/admission
	mkdir charts/consul-operator/files/admission
	cp config/admission/{acls,deletion,metrics,networks,pods,records,restores,secretrefs,secrets}.yaml charts/consul-operator/files/admission

.PHONY: docs
docs: ## Generate the tables of rules and reasons in docs/ from the code.
	go run ./hack/docgen

.PHONY: api-reference
api-reference: ## Generate docs/reference/api.md from the comments in api/.
	@$(BUILD) crd-ref-docs
	@mkdir -p docs/reference
	bin/crd-ref-docs --source-path=api --config=hack/api-reference/config.yaml --templates-dir=hack/api-reference \
	  --renderer=markdown --log-level=ERROR --output-path=docs/reference/api.md

.PHONY: chart-readme
chart-readme: ## Generate the chart's README from the comments in its values.yaml.
	@$(BUILD) helm-docs
	bin/helm-docs --chart-search-root=charts --sort-values-order=file --skip-version-footer --log-level=warning

.PHONY: spelling
spelling: ## Correct misspelled and British words in documents, manifests and scripts; make lint finds them in Go code.
	@$(BUILD) misspell
	git ls-files --cached --others --exclude-standard '*.md' '*.gotmpl' '*.tpl' '*.txt' '*.sh' '*.yaml' '*.yml' \
	  Makefile hack/cluster | xargs bin/misspell -w -locale=US

.PHONY: fmt
fmt: ## Format the code and sort its imports.
	@$(BUILD) golangci-lint
	bin/golangci-lint fmt

.PHONY: tidy
tidy: ## Tidy go.mod and check the downloaded modules against go.sum.
	go mod tidy
	go mod verify

.PHONY: clean
clean: ## Remove what was built and what local clusters left.
	rm -rf bin .local demo-report.html

##@ On a cluster of your own (the current kubectl context)

.PHONY: run
run: build ## Run the operator on this machine against the cluster.
	exec bin/consul-operator --leader-elect=false --metrics-bind-address=0

.PHONY: install
install: bin/kubectl ## Install the CRD.
	$(KUBECTL) apply --server-side -k config/crd

.PHONY: uninstall
uninstall: bin/kubectl ## Remove the CRD, and with it all ConsulClusters.
	$(KUBECTL) delete --ignore-not-found -k config/crd

.PHONY: deploy
deploy: bin/kubectl ## Install the CRD and the operator; its image is set in config/default.
	$(KUBECTL) apply --server-side -k config/default

bin/kubectl:
	@$(BUILD) kubectl
