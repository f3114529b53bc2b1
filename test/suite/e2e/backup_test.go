package e2e

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/hashicorp/consul/api"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
	"github.com/consul-operator/consul-operator/test/lib/objectstore"
)

// The whole loop: a schedule saves a cluster with TLS and ACLs to an object store, the cluster is deleted with its volumes, and
// one manifest brings everything back.
var _ = Describe("backup and restore", Ordered, ContinueOnFailure, func() {
	installed()

	It("brings a cluster back that was deleted with its volumes", func() {
		const namespace, keys = "saved", 500
		restricted(namespace)
		snapshots := inStore(namespace)
		c := create(namespace, func(spec *v1alpha1.ConsulClusterSpec) {
			spec.Snapshots, spec.ACLs.DNS = snapshots, true
		})
		admin := c.admin()
		for i := range keys {
			_, err := admin.KV().Put(&api.KVPair{Key: fmt.Sprintf("kept/%d", i), Value: []byte(strconv.Itoa(i))}, nil)
			Expect(err).NotTo(HaveOccurred())
		}
		token, _, err := admin.ACL().TokenCreate(&api.ACLToken{
			Description: "of a client", Policies: []*api.ACLTokenPolicyLink{{Name: "global-management"}},
		}, nil)
		Expect(err).NotTo(HaveOccurred())

		schedule := &v1alpha1.ConsulSnapshotSchedule{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "hourly"},
			Spec: v1alpha1.ConsulSnapshotScheduleSpec{
				ClusterName: c.Key.Name, Schedule: "@hourly", Immediate: true, Verify: v1alpha1.VerifyRestore,
			},
		}
		Expect(env.Client.Create(GinkgoT().Context(), schedule)).To(Succeed())
		began := time.Now()
		awaitReady(schedule, func() []metav1.Condition { return schedule.Status.Conditions })
		AddReportEntry("saved", fmt.Sprintf("%d keys after %s", keys, time.Since(began).Round(time.Millisecond)))
		Expect(c.typed("kubectl get consulsnapshotschedules")).To(ContainSubstring(schedule.Name))
		taken := &v1alpha1.ConsulSnapshot{}
		Expect(env.Client.Get(GinkgoT().Context(),
			client.ObjectKey{Namespace: namespace, Name: schedule.Status.LastSucceeded}, taken)).To(Succeed())
		Expect(taken.Status.Keys).To(BeNumerically(">=", keys))
		Expect(taken.Status.Verified).To(Equal(v1alpha1.VerifyRestore))

		former := c.get()
		kubectl("delete", "consulcluster", c.Key.Name, c.in(), "--timeout=2m")
		Eventually(func() string {
			return kubectl("get", "pods,pvc", "--selector="+v1alpha1.LabelCluster, "-o=name", c.in())
		},
			"2m", "200ms").Should(BeEmpty())

		again := &v1alpha1.ConsulCluster{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: c.Key.Name}, Spec: former.Spec,
		}
		again.Spec.Bootstrap.FromSnapshot = &v1alpha1.SnapshotSource{Object: taken.Status.Object, SHA256: taken.Status.SHA256}
		began = time.Now()
		c = &consul{env.Scene(c.Key)}
		Expect(c.Create(GinkgoT().Context(), again)).To(Succeed())
		c.ready(4 * time.Minute)
		took := time.Since(began).Round(time.Millisecond)
		AddReportEntry("restored", fmt.Sprintf("%d keys, and Ready %s after one manifest", keys, took))

		found, _, err := c.agent(token.SecretID).KV().List("kept/", nil)
		Expect(err).NotTo(HaveOccurred(), "a client's token of then works")
		Expect(found).To(HaveLen(keys))
		for _, pair := range found {
			Expect(pair.Key).To(Equal("kept/" + string(pair.Value)))
		}
		for _, server := range c.get().Status.Servers {
			Expect(former.Status.Servers).NotTo(ContainElement(HaveField("Name", server.Name)), "names never come back")
		}
		Expect(c.catalog()).To(Equal(c.ids()))
		Expect(c.lookup()).To(ConsistOf(c.addresses()))
	})

	It("saves and restores 200 MiB without the kubelet evicting a server", func() {
		const namespace, keys, size = "large", 800, 256 << 10
		restricted(namespace)
		snapshots := inStore(namespace)
		c := create(namespace, func(spec *v1alpha1.ConsulClusterSpec) { spec.Snapshots = snapshots })
		admin := c.admin()
		for i := range keys {
			value := make([]byte, size)
			_, _ = rand.Read(value) // never fails
			_, err := admin.KV().Put(&api.KVPair{Key: fmt.Sprintf("large/%d", i), Value: value}, nil)
			Expect(err).NotTo(HaveOccurred())
		}
		before, leader := c.pods(), c.get().Status.Leader
		of := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: namespace, Name: name} }
		snapshot := &v1alpha1.ConsulSnapshot{
			ObjectMeta: of("today"), Spec: v1alpha1.ConsulSnapshotSpec{ClusterName: c.Key.Name, Verify: v1alpha1.VerifyRestore},
		}
		took := func(what string, o client.Object, command string) {
			began := time.Now()
			Expect(env.Client.Create(GinkgoT().Context(), o)).To(Succeed())
			c.typed(command)
			AddReportEntry(what, time.Since(began).Round(time.Millisecond).String())
		}
		took("200 MiB saved and verified by a restore", snapshot,
			"kubectl wait --for=condition=Ready consulsnapshot/today --timeout=5m")
		Expect(c.typed("kubectl get consulsnapshots")).To(ContainSubstring("the snapshot is stored and verified"))
		Expect(c.typed("kubectl logs job/today-save --all-containers")).NotTo(BeEmpty())
		Expect(env.Client.Get(GinkgoT().Context(), client.ObjectKeyFromObject(snapshot), snapshot)).To(Succeed())
		Expect(snapshot.Status.Bytes).To(BeNumerically(">", keys*size), "nothing of it can be compressed")
		restore := &v1alpha1.ConsulRestore{
			ObjectMeta: of("back"),
			Spec:       v1alpha1.ConsulRestoreSpec{ClusterName: c.Key.Name, From: v1alpha1.SnapshotSource{SnapshotName: snapshot.Name}},
		}
		took("200 MiB restored in place", restore, "kubectl wait --for=condition=Ready consulrestore/back --timeout=10m")
		Expect(c.pods()).To(Equal(before), "no server was evicted or started again")
		Expect(c.get().Status.Leader).To(Equal(leader))
		found, _, err := admin.KV().Keys("large/", "", nil)
		Expect(err).NotTo(HaveOccurred())
		Expect(found).To(HaveLen(keys))

		drill := &v1alpha1.ConsulCluster{ObjectMeta: of("drill"), Spec: c.get().Spec}
		drill.Spec.Replicas, drill.Spec.Bootstrap.FromSnapshot = 1, &v1alpha1.SnapshotSource{SnapshotName: snapshot.Name}
		took("200 MiB restored for a drill", drill, "time kubectl wait --for=condition=Ready consulcluster/drill --timeout=30m")
		counted := c.typed(`kubectl exec drill-0 -- consul kv get -token="$(kubectl get secret drill-bootstrap-acl-token ` +
			`-o jsonpath='{.data.token}' | base64 -d)" -keys -separator= | wc -l`)
		Expect(strings.TrimSpace(counted)).To(Equal(c.typed("kubectl get consulsnapshot today -o jsonpath='{.status.keys}'")))
		c.typed("kubectl delete consulcluster drill")
		c.expectVolumeSpace()
	})
})

// inStore runs an object store in a namespace, and returns how snapshots get there.
func inStore(namespace string) v1alpha1.Snapshots {
	GinkgoHelper()
	identity, err := age.GenerateX25519Identity()
	Expect(err).NotTo(HaveOccurred())
	meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: namespace, Name: name} }
	labels := map[string]string{"app": "store"}
	credential := func(key string) *corev1.EnvVarSource {
		return &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: "store"}, Key: key,
		}}
	}
	pod := corev1.PodSpec{
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: new(true), RunAsUser: new(int64(65532)), FSGroup: new(int64(65532)),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Containers: []corev1.Container{{
			Name: "store", Image: "versitygw:local", ImagePullPolicy: corev1.PullNever,
			Args: []string{"--port=:7070", "--quiet", "posix", "--sidecar=/attributes", "/objects"},
			Env: []corev1.EnvVar{
				{Name: "ROOT_ACCESS_KEY_ID", ValueFrom: credential("accessKeyId")},
				{Name: "ROOT_SECRET_ACCESS_KEY", ValueFrom: credential("secretAccessKey")},
			},
			VolumeMounts: []corev1.VolumeMount{
				{Name: "objects", MountPath: "/objects"}, {Name: "attributes", MountPath: "/attributes"},
			},
			SecurityContext: &corev1.SecurityContext{
				AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			},
			ReadinessProbe: &corev1.Probe{
				ProbeHandler:  corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(7070)}},
				PeriodSeconds: 1,
			},
		}},
		Volumes: []corev1.Volume{
			{Name: "objects", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
			{Name: "attributes", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		},
	}
	for _, object := range []client.Object{
		&corev1.Secret{ObjectMeta: meta("store"), StringData: map[string]string{
			"accessKeyId": objectstore.AccessKeyID, "secretAccessKey": objectstore.SecretAccessKey,
		}},
		&corev1.Secret{ObjectMeta: meta("age"), StringData: map[string]string{"key": identity.String()}},
		&corev1.Service{ObjectMeta: meta("store"), Spec: corev1.ServiceSpec{
			Selector: labels, Ports: []corev1.ServicePort{{Port: 7070}},
		}},
		&appsv1.Deployment{ObjectMeta: meta("store"), Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod},
		}},
	} {
		Expect(env.Client.Create(GinkgoT().Context(), object)).To(Succeed())
	}
	kubectl("rollout", "status", "deployment/store", "--namespace="+namespace, "--timeout=2m")
	service := &corev1.Service{}
	Expect(env.Client.Get(GinkgoT().Context(), client.ObjectKey{Namespace: namespace, Name: "store"}, service)).To(Succeed())
	store := s3.New(s3.Options{
		BaseEndpoint: new("http://" + net.JoinHostPort(service.Spec.ClusterIP, "7070")), Region: "us-east-1", UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(objectstore.AccessKeyID, objectstore.SecretAccessKey, ""),
	})
	Eventually(func() error { // kube-proxy may not know the Service yet
		_, err := store.CreateBucket(GinkgoT().Context(), &s3.CreateBucketInput{Bucket: new("backups")})
		return err
	}, "30s", "200ms").Should(Succeed())
	return v1alpha1.Snapshots{
		Destination: &v1alpha1.SnapshotDestination{S3: &v1alpha1.S3Destination{
			Bucket: "backups", Endpoint: "http://store." + namespace + ".svc:7070", PathStyle: true,
			CredentialsSecretRef: &v1alpha1.SecretName{Name: "store"},
		}},
		Encryption: &v1alpha1.SnapshotEncryption{
			Recipients: []string{identity.Recipient().String()}, IdentitySecretRef: &v1alpha1.SecretKey{Name: "age"},
		},
	}
}

// awaitReady waits until an object is Ready, and fails with what it says.
func awaitReady(o client.Object, conditions func() []metav1.Condition) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		g.Expect(env.Client.Get(GinkgoT().Context(), client.ObjectKeyFromObject(o), o)).To(Succeed())
		ready := meta.FindStatusCondition(conditions(), v1alpha1.ConditionReady)
		g.Expect(ready).NotTo(BeNil())
		g.Expect(ready.Status).To(Equal(metav1.ConditionTrue), "%s: %s", ready.Reason, ready.Message)
	}, "5m", "200ms").Should(Succeed())
}

// admin is a client with the management token.
func (c *consul) admin() *api.Client {
	GinkgoHelper()
	return c.agent(c.managementToken())
}

// agent is a client of the cluster, at the cluster IP of its Service.
func (c *consul) agent(token string) *api.Client {
	GinkgoHelper()
	service := &corev1.Service{}
	Expect(env.Client.Get(GinkgoT().Context(), c.Key, service)).To(Succeed())
	access, err := c.Access(GinkgoT().Context())
	Expect(err).NotTo(HaveOccurred())
	access.Token.Set(token)
	agent, err := access.Agent(access.At(service.Spec.ClusterIP), 10*time.Second)
	Expect(err).NotTo(HaveOccurred())
	return agent
}

// expectVolumeSpace has the kubelets say how full the volumes are, or the condition why it is not known. Those of hack/cluster
// know nothing of their volumes, which are folders.
func (c *consul) expectVolumeSpace() {
	GinkgoHelper()
	var said *metav1.Condition
	Eventually(func() *metav1.Condition { // kubelets are asked once a minute
		said = meta.FindStatusCondition(c.get().Status.Conditions, v1alpha1.ConditionVolumeSpace)
		return said
	}, "2m", "1s").ShouldNot(BeNil())
	AddReportEntry("volumes", said.Message)
	if said.Status == metav1.ConditionTrue {
		return
	}
	Expect(said.Status).To(Equal(metav1.ConditionUnknown))
	Expect(said.Reason).To(Equal(string(reason.VolumeUsageUnknown)))
	Expect(said.Message).To(MatchRegexp(`^consul-\d+: the kubelet of node \S+ (knows nothing|does not tell: its certificate)`))
}

// ids of the servers, by name.
func (c *consul) ids() map[string]string {
	GinkgoHelper()
	ids := map[string]string{}
	for _, server := range c.get().Status.Servers {
		ids[server.Name] = server.ID
	}
	return ids
}

// catalog has the ids of the servers that the catalog lists, by name.
func (c *consul) catalog() (map[string]string, error) {
	GinkgoHelper()
	nodes, _, err := c.admin().Catalog().Service("consul", "", nil)
	listed := map[string]string{}
	for _, node := range nodes {
		listed[node.Node] = node.ID
	}
	return listed, err
}

// addresses of the servers.
func (c *consul) addresses() []string {
	GinkgoHelper()
	var addresses []string
	for _, server := range c.get().Status.Servers {
		addresses = append(addresses, server.Address)
	}
	return addresses
}

// lookup asks the DNS of a server for all servers.
func (c *consul) lookup() ([]string, error) {
	GinkgoHelper()
	server := net.JoinHostPort(c.addresses()[0], strconv.Itoa(resources.PortDNS))
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server)
	}}
	return resolver.LookupHost(GinkgoT().Context(), "consul.service.dc1.consul.")
}
