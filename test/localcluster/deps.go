package localcluster

import (
	_ "github.com/hashicorp/consul/api"
	_ "github.com/onsi/ginkgo/v2"
	_ "github.com/onsi/gomega"
	_ "github.com/virtual-kubelet/virtual-kubelet/node"
	_ "sigs.k8s.io/controller-runtime"
	_ "sigs.k8s.io/controller-runtime/pkg/envtest"
	_ "sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	_ "k8s.io/client-go/kubernetes"
	_ "github.com/google/uuid"
	_ "github.com/spf13/pflag"
	_ "sigs.k8s.io/yaml"
)
