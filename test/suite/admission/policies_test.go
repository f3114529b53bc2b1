// Package admission tests who may do what with a ConsulCluster: the admission policies of config/admission, on a real API server,
// for users who have the roles of config/rbac.
package admission

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
	"github.com/consul-operator/consul-operator/test/lib/harness"
)

const (
	root      = "../../.."
	namespace = metav1.NamespaceDefault
)

var (
	aclsPolicy       = filepath.Join(root, "config", "admission", "acls.yaml")
	secretRefsPolicy = filepath.Join(root, "config", "admission", "secretrefs.yaml")
	podsPolicy       = filepath.Join(root, "config", "admission", "pods.yaml")
	deletionPolicy   = filepath.Join(root, "config", "admission", "deletion.yaml")
	networksPolicy   = filepath.Join(root, "config", "admission", "networks.yaml")
	metricsPolicy    = filepath.Join(root, "config", "admission", "metrics.yaml")
	recordsPolicy    = filepath.Join(root, "config", "admission", "records.yaml")
	restoresPolicy   = filepath.Join(root, "config", "admission", "restores.yaml")
	secretsPolicy    = filepath.Join(root, "config", "admission", "secrets.yaml")
	editorRole       = filepath.Join(root, "config", "rbac", "consulcluster_editor_role.yaml")
	operatorRole     = filepath.Join(root, "config", "rbac", "role.yaml")
)

// users are the administrator, and those who are bound to roles: tenant edits ConsulClusters, their snapshots and their
// restores, developer may create pods besides, deployer may create Deployments, keeper may do everything with Secrets, gatekeeper
// may create NetworkPolicies and PodMonitors, and operator is what its name says.
type users struct{ admin, tenant, developer, deployer, keeper, gatekeeper, operator client.Client }

var as users

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	environment := harness.APIServerWithCRDs(root)
	defer environment.Stop() //nolint:errcheck // the processes are gone either way
	if err := setUp(environment); err != nil {
		println("no API server with policies (run `make tools`):", err.Error())
		return 1
	}
	return m.Run()
}

func setUp(environment *envtest.Environment) error {
	config, err := environment.Start()
	if err != nil {
		return err
	}
	if as.admin, err = client.New(config, client.Options{Scheme: harness.Scheme()}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, file := range []string{
		aclsPolicy, deletionPolicy, metricsPolicy, networksPolicy, podsPolicy, recordsPolicy, restoresPolicy, secretRefsPolicy,
		secretsPolicy, editorRole, operatorRole,
	} {
		if err := createAll(ctx, file); err != nil {
			return err
		}
	}
	for name, rule := range map[string]rbacv1.PolicyRule{
		"pod-creator":   {APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"create"}},
		"deployer":      {APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: []string{"create"}},
		"secret-keeper": {APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"*"}},
		"gatekeeper": {
			APIGroups: []string{"networking.k8s.io", "monitoring.coreos.com"}, Resources: []string{"networkpolicies", "podmonitors"},
			Verbs: []string{"create"},
		},
	} {
		role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{rule}}
		if err := as.admin.Create(ctx, role); err != nil {
			return err
		}
	}
	for name, who := range map[string]struct {
		client *client.Client
		roles  []string
	}{
		"tenant":    {&as.tenant, []string{"consul-operator-editor"}},
		"developer": {&as.developer, []string{"consul-operator-editor", "pod-creator"}},
		"deployer":  {&as.deployer, []string{"consul-operator-editor", "deployer"}},
		"keeper":    {&as.keeper, []string{"consul-operator-editor", "secret-keeper"}},
		"gate":      {&as.gatekeeper, []string{"consul-operator-editor", "gatekeeper"}},
		"operator":  {&as.operator, []string{"consul-operator"}},
	} {
		if *who.client, err = user(ctx, environment, name, who.roles); err != nil {
			return err
		}
	}
	return inForce(ctx)
}

// user has some roles in the namespace.
func user(ctx context.Context, environment *envtest.Environment, name string, roles []string) (client.Client, error) {
	for _, role := range roles {
		binding := &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name + "-" + role},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}},
		}
		if err := as.admin.Create(ctx, binding); err != nil {
			return nil, err
		}
	}
	added, err := environment.AddUser(envtest.User{Name: name}, nil)
	if err != nil {
		return nil, err
	}
	config := added.Config()
	config.QPS = -1 // as often as it can
	return client.New(config, client.Options{Scheme: harness.Scheme()})
}

// createAll creates the objects of a file.
func createAll(ctx context.Context, file string) error {
	content, err := os.ReadFile(file) //nolint:gosec // our own
	if err != nil {
		return err
	}
	for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096); ; {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(object); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := as.admin.Create(ctx, object); err != nil {
			return err
		}
	}
}

// inForce waits until the API server asks the policies, which it begins to do a moment after they were created.
func inForce(ctx context.Context) error {
	existing := cluster(values{"deletionProtection": true})
	if err := as.admin.Create(ctx, existing); err != nil {
		return err
	}
	for {
		created := as.tenant.Create(ctx, cluster(map[string]any{"image": "x"}), client.DryRunAll)
		changed := as.tenant.Patch(ctx, existing, annotation(v1alpha1.AnnotationNextSerial, "1"), client.DryRunAll)
		deleted := as.admin.Delete(ctx, existing.DeepCopy(), client.DryRunAll)
		kept := as.keeper.Create(ctx, secretOf(existing), client.DryRunAll)
		opened := as.tenant.Create(ctx, cluster(open), client.DryRunAll)
		allowed := as.tenant.Patch(ctx, existing, withoutACLs, client.DryRunAll)
		labels := as.tenant.Create(ctx, cluster(labeled), client.DryRunAll)
		restored := as.tenant.Create(ctx, restore(values{"object": "any"}), client.DryRunAll)
		denied := []error{created, changed, deleted, kept, opened, allowed, labels, restored}
		if !slices.ContainsFunc(denied, func(err error) bool { return !apierrors.IsForbidden(err) }) {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(append(denied, ctx.Err())...)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

type values = map[string]any

func cluster(changes values) *unstructured.Unstructured {
	spec := values{"version": "1.22.7"}
	for field, value := range changes {
		spec[field] = value
	}
	c := &unstructured.Unstructured{Object: values{"spec": spec}}
	c.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ConsulCluster"))
	c.SetNamespace(namespace)
	c.SetGenerateName("consul-")
	return c
}

func template(part string, value any) values { return values{"podTemplate": values{part: value}} }

func annotation(key, value string) client.Patch {
	return client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"annotations":{"`+key+`":"`+value+`"}}}`))
}

// ofPods are the parts of a ConsulCluster that run something, or show something to what runs.
var ofPods = map[string]values{
	"spec.bootstrap":                        {"bootstrap": values{"fromVolumes": values{}}},
	"spec.snapshots":                        {"snapshots": values{"serviceAccountAnnotations": values{"role": "x"}}},
	"spec.configFrom":                       {"configFrom": []any{values{"secretRef": values{"name": "x"}}}},
	"spec.image":                            {"image": "x"},
	"spec.podTemplate.containers":           template("containers", []any{values{"name": "x", "image": "x"}}),
	"spec.podTemplate.env":                  template("env", []any{values{"name": "X", "value": "x"}}),
	"spec.podTemplate.imagePullSecrets":     template("imagePullSecrets", []any{values{"name": "x"}}),
	"spec.podTemplate.initContainers":       template("initContainers", []any{values{"name": "x", "image": "x"}}),
	"spec.podTemplate.metadata.labels":      template("metadata", values{"labels": values{"app": "x"}}),
	"spec.podTemplate.metadata.annotations": template("metadata", values{"annotations": values{"inject": "x"}}),
	"spec.podTemplate.priorityClassName":    template("priorityClassName", "system-node-critical"),
	"spec.podTemplate.securityContext":      template("securityContext", values{}), // also as root, if the image says so
	"spec.podTemplate.volumeMounts":         template("volumeMounts", []any{values{"name": "x", "mountPath": "/x"}}),
	"spec.podTemplate.volumes":              template("volumes", []any{values{"name": "x", "secret": values{"secretName": "x"}}}),
}

// ofPrograms are keys of Consul's configuration by which it runs programs, reads files, or hands out what it has read.
var ofPrograms = values{
	"Watches":                    []any{values{"type": "nodes", "args": []any{"/bin/sh", "-c", "true"}}},
	"watches":                    []any{values{"type": "nodes", "args": []any{"/bin/sh", "-c", "true"}}},
	"checks":                     []any{values{"args": []any{"true"}}},
	"services":                   []any{values{"name": "x", "checks": []any{values{"args": []any{"true"}}}}},
	"ui_config":                  values{"dir": "/"},
	"tls":                        values{"defaults": values{"ca_file": "/etc/passwd"}},
	"license_path":               "/etc/passwd",
	"connect":                    values{"ca_provider": "vault"},
	"telemetry":                  values{"statsd_address": "x:1"},
	"log_file":                   "/consul/data/x",
	"auto_config":                values{"intro_token_file": "/etc/passwd"},
	"acl\u017f":                  values{}, // which Consul may take for another key
	"enable_local_script_checks": true,
	"acl":                        values{"tokens": values{"initial_management": "00000000-0000-0000-0000-000000000001"}},
}

// editable are the parts of a pod template that are about where servers run, and how much they may use.
var editable = map[string]any{
	"affinity":                  values{"nodeAffinity": values{}},
	"nodeSelector":              values{"disk": "fast"},
	"resources":                 values{"requests": values{"cpu": "1"}},
	"tolerations":               []any{values{"key": "x", "operator": "Exists"}},
	"topologySpreadConstraints": []any{values{"maxSkew": int64(1), "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}},
}

func fields(of reflect.Type) (names []string) {
	for i := range of.NumField() {
		if name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ","); name != "-" {
			names = append(names, name)
		}
	}
	return names
}

// A new field has to be decided upon: here, and in the policy if it makes pods.
func TestEveryPartIsDecidedUpon(t *testing.T) {
	g := NewWithT(t)
	g.Expect(fields(reflect.TypeFor[v1alpha1.ConsulClusterSpec]())).To(ConsistOf(
		"acls", "bootstrap", "config", "configFrom", "datacenter", "deletionProtection", "failureReplacement", "gossipEncryption",
		"image", "metrics", "networkPolicy", "paused", "podTemplate", "recovery", "replicas", "snapshots", "storage", "tls", "update",
		"version"))
	parts := fields(reflect.TypeFor[v1alpha1.PodTemplate]())
	var decided []string
	for part := range ofPods {
		if name, is := strings.CutPrefix(part, "spec.podTemplate."); is {
			name, _, _ := strings.Cut(name, ".")
			decided = append(decided, name)
		}
	}
	slices.Sort(decided)
	decided = slices.Compact(decided)
	for part := range editable {
		decided = append(decided, part)
	}
	g.Expect(decided).To(ConsistOf(parts))
}

// Who may only edit ConsulClusters runs no program of their own with them, and reads nothing.
func TestPartsThatMakePods(t *testing.T) {
	for field, changes := range ofPods {
		t.Run(field, func(t *testing.T) {
			g := NewWithT(t)
			err := as.tenant.Create(t.Context(), cluster(changes))
			g.Expect(apierrors.IsForbidden(err)).To(BeTrue(), "%v", err)
			g.Expect(err).To(MatchError(And(
				ContainSubstring(field), ContainSubstring("create pods or deployments in namespace "+namespace))))
			g.Expect(as.developer.Create(t.Context(), cluster(changes))).To(Succeed())

			existing := cluster(nil)
			g.Expect(as.tenant.Create(t.Context(), existing)).To(Succeed())
			with := existing.DeepCopy()
			for key, value := range changes {
				g.Expect(unstructured.SetNestedField(with.Object, value, "spec", key)).To(Succeed())
			}
			g.Expect(as.tenant.Update(t.Context(), with.DeepCopy())).To(MatchError(ContainSubstring(field)))
			g.Expect(as.developer.Update(t.Context(), with)).To(Succeed())

			// What others have set stays while something else changes, and is taken away only by those who may set it.
			scaled := with.DeepCopy()
			g.Expect(unstructured.SetNestedField(scaled.Object, int64(5), "spec", "replicas")).To(Succeed())
			g.Expect(as.tenant.Update(t.Context(), scaled)).To(Succeed())
			for key := range changes {
				unstructured.RemoveNestedField(scaled.Object, "spec", key)
			}
			g.Expect(as.tenant.Update(t.Context(), scaled)).To(MatchError(ContainSubstring(field)))
		})
	}
}

// Consul runs what its configuration says, with what others have given to the servers, and shows what they can read.
func TestConfigurationThatRunsPrograms(t *testing.T) {
	for key, value := range ofPrograms {
		t.Run(key, func(t *testing.T) {
			g := NewWithT(t)
			with := values{"config": values{key: value, "log_level": "DEBUG"}}
			err := as.tenant.Create(t.Context(), cluster(with))
			g.Expect(apierrors.IsForbidden(err)).To(BeTrue(), "%v", err)
			g.Expect(err).To(MatchError(And(ContainSubstring("spec.config."+key), Not(ContainSubstring("log_level")))))
			c := cluster(with)
			g.Expect(as.developer.Create(t.Context(), c)).To(Succeed())
			g.Expect(unstructured.SetNestedField(c.Object, "WARN", "spec", "config", "log_level")).To(Succeed())
			g.Expect(as.tenant.Update(t.Context(), c)).To(Succeed(), "what others have set stays")
			unstructured.RemoveNestedField(c.Object, "spec", "config", key)
			g.Expect(as.tenant.Update(t.Context(), c.DeepCopy())).To(MatchError(ContainSubstring("spec.config." + key)))
			unstructured.RemoveNestedField(c.Object, "spec", "config")
			g.Expect(as.tenant.Update(t.Context(), c)).To(MatchError(ContainSubstring("spec.config." + key)))
		})
	}
}

func TestPartsThatMakeNoPods(t *testing.T) {
	g := NewWithT(t)
	for part, value := range editable {
		g.Expect(as.tenant.Create(t.Context(), cluster(template(part, value)))).To(Succeed(), part)
	}
	for _, part := range []string{"containers", "env", "volumes"} {
		g.Expect(as.tenant.Create(t.Context(), cluster(template(part, []any{})))).To(Succeed(), "no %s", part)
	}
	g.Expect(as.tenant.Create(t.Context(), cluster(template("metadata", values{"labels": values{}})))).To(Succeed(), "no labels")
	g.Expect(as.tenant.Create(t.Context(), cluster(values{"config": values{}}))).To(Succeed())
	// All of them are, and those that servers read again are among them, but for telemetry, which is sent to others as well.
	harmless := values{
		"autopilot": values{"cleanup_dead_servers": true}, "discard_check_output": true, "dns_config": values{"node_ttl": "5s"},
		"enable_debug": true, "limits": values{"http_max_conns_per_client": int64(500)}, "log_level": "DEBUG",
		"node_meta": values{"room": "blue"}, "performance": values{"raft_multiplier": int64(2)}, "ports": values{"dns": int64(8600)},
		"raft_snapshot_interval": "20s", "raft_snapshot_threshold": int64(1000), "raft_trailing_logs": int64(1000),
	}
	for key, value := range harmless {
		g.Expect(as.tenant.Create(t.Context(), cluster(values{"config": values{key: value}}))).To(Succeed(), key)
	}
	for _, key := range resources.Reloadable {
		top, _, _ := strings.Cut(key, ".")
		g.Expect(harmless[top] != nil || top == "telemetry").To(BeTrue(), key)
	}
}

func TestRecordsAreTheOperators(t *testing.T) {
	policy, err := os.ReadFile(recordsPolicy)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	for _, record := range []string{
		v1alpha1.AnnotationBootstrapped, v1alpha1.AnnotationNextSerial, v1alpha1.AnnotationRecordsOf, v1alpha1.AnnotationRecovery,
		v1alpha1.AnnotationGossip, v1alpha1.AnnotationTLS, v1alpha1.AnnotationACLs, v1alpha1.AnnotationRestoring,
		v1alpha1.AnnotationFounding, v1alpha1.AnnotationAdopting, v1alpha1.AnnotationIdentity,
	} {
		t.Run(record, func(t *testing.T) {
			g := NewWithT(t)
			c := cluster(nil)
			g.Expect(as.tenant.Create(t.Context(), c)).To(Succeed())
			for _, user := range []client.Client{as.tenant, as.developer} {
				err := user.Patch(t.Context(), c.DeepCopy(), annotation(record, "1"))
				g.Expect(apierrors.IsForbidden(err)).To(BeTrue(), "%v", err)
				g.Expect(err).To(MatchError(ContainSubstring(record)))
			}
			g.Expect(as.operator.Patch(t.Context(), c, annotation(record, "1"))).To(Succeed())
			g.Expect(as.tenant.Patch(t.Context(), c.DeepCopy(), annotation(record, "2"))).To(MatchError(ContainSubstring(record)))
			g.Expect(as.admin.Patch(t.Context(), c, annotation(record, "3"))).To(Succeed(), "a repair")
			g.Expect(as.tenant.Patch(t.Context(), c, annotation(v1alpha1.AnnotationRestartedAt, "now"))).To(Succeed())

			if record != v1alpha1.AnnotationRecordsOf {
				g.Expect(as.operator.Patch(t.Context(), c, annotation(v1alpha1.AnnotationRecordsOf, "1"))).To(Succeed())
				without := c.DeepCopy()
				annotations := without.GetAnnotations()
				delete(annotations, record)
				without.SetAnnotations(annotations)
				g.Expect(as.tenant.Update(t.Context(), without)).To(MatchError(ContainSubstring(record)), "one of two")
			}
			replaced := c.DeepCopy()
			replaced.SetAnnotations(nil)
			g.Expect(as.tenant.Update(t.Context(), replaced)).To(Succeed(), "kubectl replace")
			moved := cluster(nil)
			moved.SetAnnotations(map[string]string{record: "1"})
			g.Expect(as.tenant.Create(t.Context(), moved)).To(Succeed(), "a copy, whose records do not count")
			g.Expect(string(policy)).To(ContainSubstring("'" + record + "'"))
		})
	}
}

// secretOf is a Secret that says that it is a cluster's.
func secretOf(c *unstructured.Unstructured) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, GenerateName: "keys-",
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(c, v1alpha1.GroupVersion.WithKind("ConsulCluster"))},
		},
		Data: map[string][]byte{"key": []byte("k")},
	}
}

func TestSecretsAreTheOperators(t *testing.T) {
	g := NewWithT(t)
	c := cluster(nil)
	g.Expect(as.tenant.Create(t.Context(), c)).To(Succeed())
	denied := And(MatchError(apierrors.IsForbidden, "Forbidden"),
		MatchError(ContainSubstring("only the operator creates and changes")))
	g.Expect(as.keeper.Create(t.Context(), secretOf(c))).To(denied, "it would be taken for the operator's")
	secret := secretOf(c)
	g.Expect(as.operator.Create(t.Context(), secret)).To(Succeed())

	for what, change := range map[string]func(*corev1.Secret){
		"its data":                  func(s *corev1.Secret) { s.Data["key"] = []byte("mine") },
		"its data, in words":        func(s *corev1.Secret) { s.StringData = map[string]string{"key": "mine"} },
		"that it can change":        func(s *corev1.Secret) { s.Immutable = new(true) },
		"whose it is":               func(s *corev1.Secret) { s.OwnerReferences = nil },
		"whose it is, and its data": func(s *corev1.Secret) { s.OwnerReferences, s.Data["key"] = nil, []byte("mine") },
	} {
		changed := secret.DeepCopy()
		change(changed)
		g.Expect(as.keeper.Update(t.Context(), changed)).To(denied, what)
	}
	for _, record := range []string{
		v1alpha1.AnnotationRotatedFor, v1alpha1.AnnotationKeysChanged, v1alpha1.AnnotationTokensMade,
		v1alpha1.AnnotationTokensRevoked, v1alpha1.AnnotationManagementTokenID, v1alpha1.AnnotationDNSGranted,
	} {
		changed := secret.DeepCopy()
		changed.Annotations = map[string]string{record: "2099"}
		g.Expect(as.keeper.Update(t.Context(), changed)).To(denied, record)
	}
	labeled := secret.DeepCopy()
	labeled.Labels = map[string]string{"team": "blue"}
	g.Expect(as.keeper.Update(t.Context(), labeled)).To(Succeed(), "nobody starts with that")
	another := func(key string) client.Patch {
		return client.RawPatch(types.MergePatchType, []byte(`{"data":{"key":"`+key+`"}}`))
	}
	g.Expect(as.operator.Patch(t.Context(), labeled, another("eA=="))).To(Succeed())
	g.Expect(as.admin.Patch(t.Context(), labeled, another("eQ=="))).To(Succeed(), "a repair")

	theirs := secretOf(c)
	theirs.OwnerReferences = nil
	g.Expect(as.keeper.Create(t.Context(), theirs)).To(Succeed(), "Secrets of others are not ours to judge")
	theirs.Data["key"] = []byte("mine")
	g.Expect(as.keeper.Update(t.Context(), theirs)).To(Succeed())
	theirs.OwnerReferences = secret.OwnerReferences
	g.Expect(as.keeper.Update(t.Context(), theirs)).To(denied, "in two steps")
	g.Expect(as.keeper.Delete(t.Context(), secret)).To(Succeed(), "the operator writes it again")
}

// It takes two steps to lose the data of a cluster that is protected.
func TestDeletionProtection(t *testing.T) {
	g := NewWithT(t)
	c := cluster(values{"deletionProtection": true})
	c.SetLabels(map[string]string{"protected": "true"})
	g.Expect(as.tenant.Create(t.Context(), c)).To(Succeed())
	all := client.MatchingLabels(c.GetLabels()) // a namespace that is deleted deletes collections
	g.Expect(as.admin.DeleteAllOf(t.Context(), cluster(nil), client.InNamespace(namespace), all)).NotTo(Succeed())
	for _, user := range []client.Client{as.tenant, as.admin} {
		err := user.Delete(t.Context(), c)
		g.Expect(apierrors.IsForbidden(err)).To(BeTrue(), "%v", err)
		g.Expect(err).To(MatchError(ContainSubstring(`kubectl patch consulcluster ` + c.GetName() + ` -n default --type=merge -p ` +
			`'{"spec": {"deletionProtection": false}}'`)))
	}
	g.Expect(unstructured.SetNestedField(c.Object, false, "spec", "deletionProtection")).To(Succeed())
	g.Expect(as.tenant.Update(t.Context(), c)).To(Succeed())
	g.Expect(as.tenant.Delete(t.Context(), c)).To(Succeed())

	unprotected := cluster(nil)
	g.Expect(as.tenant.Create(t.Context(), unprotected)).To(Succeed())
	g.Expect(as.tenant.Delete(t.Context(), unprotected)).To(Succeed())
}
