package v1alpha1_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/test/lib/harness"
)

// api is the client of a real API server with the CRD.
var api client.Client

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	environment := harness.APIServerWithCRDs(filepath.Join("..", ".."))
	config, err := environment.Start()
	if err != nil {
		println("no API server (run `make tools`):", err.Error())
		return 1
	}
	defer environment.Stop() //nolint:errcheck // the processes are gone either way
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		panic(err)
	}
	if api, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		panic(err)
	}
	return m.Run()
}

// cluster returns a minimal ConsulCluster with some fields changed; a nil value removes a field.
func cluster(changes map[string]any) *unstructured.Unstructured {
	c := &unstructured.Unstructured{Object: map[string]any{
		"spec": map[string]any{"version": "1.22.7"},
	}}
	c.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ConsulCluster"))
	c.SetNamespace(corev1.NamespaceDefault)
	c.SetGenerateName("consul-")
	spec := c.Object["spec"].(map[string]any)
	for field, value := range changes {
		spec[field] = value
	}
	return c
}

type values = map[string]any

func TestDefaults(t *testing.T) {
	g := NewWithT(t)
	c := cluster(nil)
	g.Expect(api.Create(t.Context(), c)).To(Succeed())
	var read v1alpha1.ConsulCluster
	g.Expect(api.Get(t.Context(), client.ObjectKeyFromObject(c), &read)).To(Succeed())
	g.Expect(read.Spec.Replicas).To(Equal(int32(3)))
	g.Expect(read.Spec.Datacenter).To(Equal("dc1"))
	g.Expect(read.Spec.Storage.Size.String()).To(Equal("10Gi"))
	g.Expect(read.Spec.Storage.Retention).To(Equal(v1alpha1.RetentionDelete))
	g.Expect(read.Spec.Update.Type).To(Equal(v1alpha1.UpdateSurge))
	g.Expect(read.Spec.Update.MaxSurge).To(Equal(int32(1)))
	g.Expect(read.Spec.Update.LeaderStableFor.Duration.String()).To(Equal("10s"))
}

func TestCreateIsRefusedByName(t *testing.T) {
	owned := func(key string, value any) map[string]any { return values{"config": values{key: value}} }
	for name, test := range map[string]struct {
		changes map[string]any
		message string
	}{
		"even replicas":          {values{"replicas": int64(2)}, "spec.replicas"},
		"no replicas":            {values{"replicas": int64(0)}, "spec.replicas"},
		"too many replicas":      {values{"replicas": int64(9)}, "spec.replicas"},
		"no version":             {values{"version": ""}, "spec.version"},
		"version latest":         {values{"version": "latest"}, "spec.version"},
		"version without patch":  {values{"version": "1.22"}, "spec.version"},
		"datacenter in capitals": {values{"datacenter": "DC 1"}, "spec.datacenter"},
		"storage of no size":     {values{"storage": values{"size": "0"}}, "spec.storage.size"},
		"unknown retention":      {values{"storage": values{"retention": "Keep"}}, "spec.storage.retention"},
		"unknown update type":    {values{"update": values{"type": "Recreate"}}, "spec.update.type"},
		"surge of 0":             {values{"update": values{"maxSurge": int64(0)}}, "spec.update.maxSurge"},
		"negative stability":     {values{"update": values{"leaderStableFor": "-1s"}}, "spec.update.leaderStableFor"},
		"stability of no length": {values{"update": values{"leaderStableFor": "x"}}, "spec.update.leaderStableFor"},
		"storage of any size":    {values{"storage": values{"size": "plenty"}}, "spec.storage.size"},
		"bootstrap":              {owned("bootstrap", true), "spec.config.bootstrap"},
		"bootstrap_expect":       {owned("bootstrap_expect", int64(3)), "spec.config.bootstrap_expect"},
		"server":                 {owned("server", false), "spec.config.server"},
		"data_dir":               {owned("data_dir", "/x"), "spec.config.data_dir"},
		"node_id":                {owned("node_id", "x"), "spec.config.node_id"},
		"node_name":              {owned("node_name", "x"), "spec.config.node_name"},
		"datacenter in config":   {owned("datacenter", "x"), "spec.config.datacenter"},
		"bind_addr":              {owned("bind_addr", "x"), "spec.config.bind_addr"},
		"client_addr":            {owned("client_addr", "x"), "spec.config.client_addr"},
		"advertise_addr":         {owned("advertise_addr", "x"), "spec.config.advertise_addr"},
		"retry_join":             {owned("retry_join", []any{"x"}), "spec.config.retry_join"},
		"start_join":             {owned("start_join", []any{"x"}), "spec.config.start_join"},
		"leave_on_terminate":     {owned("leave_on_terminate", true), "spec.config.leave_on_terminate"},
		"skip_leave":             {owned("skip_leave_on_interrupt", true), "spec.config.skip_leave_on_interrupt"},
		"min_quorum":             {owned("autopilot", values{"min_quorum": int64(1)}), "spec.config.autopilot.min_quorum"},
		"ports.http":             {owned("ports", values{"http": int64(1)}), "spec.config.ports.http"},
		"ports.server":           {owned("ports", values{"server": int64(1)}), "spec.config.ports.server"},
		"read_replica":           {owned("read_replica", true), "spec.config.read_replica"},
		"non_voting_server":      {owned("non_voting_server", true), "spec.config.non_voting_server"},
		"disable_keyring_file":   {owned("disable_keyring_file", true), "spec.config.disable_keyring_file"},
		"addresses":              {owned("addresses", values{"http": "x"}), "spec.config.addresses"},
		"advertise_addr_ipv4":    {owned("advertise_addr_ipv4", "x"), "spec.config.advertise_addr_ipv4"},
		"advertise_addr_ipv6":    {owned("advertise_addr_ipv6", "x"), "spec.config.advertise_addr_ipv6"},
		"serf_lan":               {owned("serf_lan", "x"), "spec.config.serf_lan"},
		"serf_wan":               {owned("serf_wan", "x"), "spec.config.serf_wan"},
		"retry_interval":         {owned("retry_interval", "1s"), "spec.config.retry_interval"},
		"retry_max":              {owned("retry_max", int64(3)), "spec.config.retry_max"},
		"rejoin_after_leave":     {owned("rejoin_after_leave", true), "spec.config.rejoin_after_leave"},
		"allow_write_http_from": {
			owned("http_config", values{"allow_write_http_from": []any{"x"}}), "spec.config.http_config.allow_write_http_from",
		},
		"block_endpoints": {
			owned("http_config", values{"block_endpoints": []any{"x"}}), "spec.config.http_config.block_endpoints",
		},
		"a key that is never old":   {values{"gossipEncryption": values{"rotateEvery": "5m"}}, "spec.gossipEncryption.rotateEvery"},
		"tokens that are never old": {values{"acls": values{"rotateEvery": "5m"}}, "spec.acls.rotateEvery"},
		"a token of one's own, and others in time": {
			values{"acls": values{"rotateEvery": "720h", "managementTokenSecretRef": values{"name": "x"}}},
			"beside managementTokenSecretRef",
		},
		"a key of one's own, and others in time": {
			values{"gossipEncryption": values{"rotateEvery": "720h", "secretRef": values{"name": "x"}}}, "beside secretRef",
		},
		"a Secret in another namespace": {values{"tls": values{"caSecretRef": values{"name": "a/b"}}}, "spec.tls.caSecretRef.name"},
		"an authority without a name":   {values{"tls": values{"caSecretRef": values{}}}, "spec.tls.caSecretRef.name"},
		"a certificate and an authority": {
			values{"tls": values{"certSecretRef": values{"name": "a"}, "caSecretRef": values{"name": "b"}}}, "beside certSecretRef",
		},
		"a Secret without a name": {values{"acls": values{"managementTokenSecretRef": values{}}}, "TokenSecretRef.name"},
		"nobody":                  {values{"networkPolicy": values{"clients": []any{values{}}}}, "spec.networkPolicy.clients"},
		"pods and addresses": {values{"networkPolicy": values{"agents": []any{
			values{"podSelector": values{}, "ipBlock": values{"cidr": "192.0.2.0/24"}},
		}}}, "spec.networkPolicy.agents"},
		"rpc_rate":       {owned("limits", values{"rpc_rate": int64(1)}), "spec.config.limits.rpc_rate"},
		"rpc_max_burst":  {owned("limits", values{"rpc_max_burst": int64(1)}), "spec.config.limits.rpc_max_burst"},
		"ports.serf_lan": {owned("ports", values{"serf_lan": int64(1)}), "spec.config.ports.serf_lan"},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(api.Create(t.Context(), cluster(test.changes))).To(MatchError(ContainSubstring(test.message)))
		})
	}
}

func TestNameIsRefused(t *testing.T) {
	for _, name := range []string{"1consul", "con.sul", "a-name-of-more-than-forty-characters-is-too-long", "x-join"} {
		c := cluster(nil)
		c.SetName(name)
		NewWithT(t).Expect(api.Create(t.Context(), c)).To(MatchError(ContainSubstring("metadata.name")))
	}
}

func TestChangeIsRefusedByName(t *testing.T) {
	start := values{"storage": values{"size": "10Gi", "storageClassName": "fast"}}
	for name, test := range map[string]struct {
		path    []string
		value   any
		message string
	}{
		"another datacenter": {[]string{"spec", "datacenter"}, "dc2", "spec.datacenter"},
		"even replicas":      {[]string{"spec", "replicas"}, int64(4), "spec.replicas"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			c := cluster(start)
			g.Expect(api.Create(t.Context(), c)).To(Succeed())
			g.Expect(unstructured.SetNestedField(c.Object, test.value, test.path...)).To(Succeed())
			g.Expect(api.Update(t.Context(), c)).To(MatchError(ContainSubstring(test.message)))
		})
	}
}

func TestWhatUsersSetIsKept(t *testing.T) {
	g := NewWithT(t)
	c := cluster(values{
		"config": values{
			"log_level": "DEBUG", "ports": values{"grpc": int64(8502)}, "autopilot": values{"cleanup_dead_servers": true},
			"limits": values{"kv_max_value_size": int64(10000000)},
		},
		"podTemplate": values{
			"containers": []any{values{"name": "sidecar", "image": "busybox"}},
			"volumes":    []any{values{"name": "extra", "emptyDir": values{}}},
			"env":        []any{values{"name": "A", "value": "B"}},
			"affinity":   values{"nodeAffinity": values{}},
		},
		"storage":       values{"size": "10Gi"},
		"networkPolicy": values{"clients": []any{}, "agents": []any{values{"podSelector": values{}}}},
	})
	g.Expect(api.Create(t.Context(), c)).To(Succeed())
	var read v1alpha1.ConsulCluster
	g.Expect(api.Get(t.Context(), client.ObjectKeyFromObject(c), &read)).To(Succeed())
	config, err := read.Spec.Config.Values()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(config).To(HaveKeyWithValue("log_level", "DEBUG"))
	g.Expect(config).To(HaveKeyWithValue("ports", HaveKey("grpc")))
	g.Expect(read.Spec.PodTemplate.Containers[0].Image).To(Equal("busybox"))
	g.Expect(read.Spec.PodTemplate.Volumes[0].Name).To(Equal("extra"))
	g.Expect(read.Spec.PodTemplate.Env[0].Value).To(Equal("B"))
	g.Expect(read.Spec.NetworkPolicy.Clients).To(And(BeEmpty(), Not(BeNil())), "nobody is not everybody")
	g.Expect(read.Spec.NetworkPolicy.Agents).To(Equal(v1alpha1.Peers{{PodSelector: &metav1.LabelSelector{}}}))

	grown := read.DeepCopy()
	grown.Spec.Storage.Size.Add(grown.Spec.Storage.Size)
	g.Expect(api.Update(t.Context(), grown)).To(Succeed())
}

// What the API server does not check in a pod template is stored, and one such object must not stop the operator for all.
func TestMalformedPodTemplates(t *testing.T) {
	const field = "spec.podTemplate."
	for name, test := range map[string]struct {
		template values
		refused  string
		stored   string // the field that does not decode
	}{
		"env as an object":        {values{"env": values{"A": "b"}}, field + "env", ""},
		"env of words":            {values{"env": []any{"A=b"}}, field + "env[0]", ""},
		"volumes as a word":       {values{"volumes": "none"}, field + "volumes", ""},
		"one container":           {values{"containers": values{"name": "a"}}, field + "containers", ""},
		"containers by name":      {values{"initContainers": []any{"a"}}, field + "initContainers[0]", ""},
		"affinity as a list":      {values{"affinity": []any{}}, field + "affinity", ""},
		"a label that is no text": {values{"metadata": values{"labels": values{"a": true}}}, field + "metadata.labels.a", ""},
		"env with a bool":         {values{"env": []any{values{"name": "A", "value": true}}}, "", field + "env[0].value"},
		"a volume of words": {
			values{"volumes": []any{values{"name": "a", "emptyDir": "yes"}}}, "", field + "volumes[0].emptyDir",
		},
		"a port of digits": {
			values{"containers": []any{values{"name": "a", "ports": []any{values{"containerPort": "80"}}}}}, "",
			field + "containers[0].ports[0].containerPort",
		},
		"any amount": {
			values{"initContainers": []any{values{"resources": values{"limits": values{"cpu": "lots"}}}}}, "",
			field + "initContainers[0].resources.limits.cpu",
		},
		"an affinity of lists":   {values{"affinity": values{"podAffinity": []any{}}}, "", field + "affinity.podAffinity"},
		"seconds without an end": {values{"tolerations": []any{values{"tolerationSeconds": 1e30}}}, field + "tolerations[0]", ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			c := cluster(values{"podTemplate": test.template})
			err := api.Create(t.Context(), c)
			if test.refused != "" {
				g.Expect(err).To(MatchError(ContainSubstring(test.refused)))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			var all v1alpha1.ConsulClusterList
			g.Expect(api.List(t.Context(), &all)).To(Succeed(), "the operator lists all of them")
			var read v1alpha1.ConsulCluster
			g.Expect(api.Get(t.Context(), client.ObjectKeyFromObject(c), &read)).To(Succeed())
			g.Expect(read.Spec.Malformed).To(HavePrefix(test.stored))
			g.Expect(read.Spec.Version).To(Equal("1.22.7"))

			read.Annotations = map[string]string{"a": "b"}
			g.Expect(api.Update(t.Context(), &read)).To(Succeed())
			g.Expect(read.Generation).To(Equal(int64(1)), "the spec is written back as it was")
			g.Expect(api.Delete(t.Context(), &read)).To(Succeed())
		})
	}
}

func TestScale(t *testing.T) {
	g := NewWithT(t)
	c := cluster(nil)
	g.Expect(api.Create(context.Background(), c)).To(Succeed())
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"replicas":5}}`))
	g.Expect(api.SubResource("scale").Patch(context.Background(), c, patch)).To(Succeed())
	var read v1alpha1.ConsulCluster
	g.Expect(api.Get(context.Background(), client.ObjectKeyFromObject(c), &read)).To(Succeed())
	g.Expect(read.Spec.Replicas).To(Equal(int32(5)))
}
