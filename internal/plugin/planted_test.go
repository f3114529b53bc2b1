package plugin

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/google/uuid"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// planter makes secrets, hides them in texts, and remembers them.
type planter struct {
	*rand.Rand
	secrets []string
}

func (p *planter) bytes(n int) []byte {
	raw := make([]byte, n)
	for i := range raw {
		raw[i] = byte(p.IntN(256))
	}
	return raw
}

func (p *planter) keep(secrets ...string) string {
	p.secrets = append(p.secrets, secrets...)
	return secrets[0]
}

func (p *planter) letters(alphabet string, n int) string {
	var b strings.Builder
	for range n {
		b.WriteByte(alphabet[p.IntN(len(alphabet))])
	}
	return b.String()
}

func (p *planter) uuid() string { return p.keep(uuid.UUID(p.bytes(16)).String()) }

// word is a secret that looks like nothing: only what is around it says what it is.
func (p *planter) word() string {
	return p.keep("zq" + p.letters("abcdefghijkmnopqrstuvwxyz23456789", 14))
}

func (p *planter) pem() string {
	body := base64.StdEncoding.EncodeToString(p.bytes(121))
	first, second := body[:64], body[64:128]
	p.keep(first, second, body[128:])
	return "-----BEGIN EC PRIVATE KEY-----\n" + first + "\n" + second + "\n" + body[128:] + "\n-----END EC PRIVATE KEY-----"
}

// shapes are secrets that are known by what they look like, wherever they are.
var shapes = []func(p *planter) string{
	func(p *planter) string { return p.uuid() },
	func(p *planter) string { return "x" + strings.ToUpper(p.uuid()) },
	func(p *planter) string { return p.keep(base64.StdEncoding.EncodeToString(p.bytes(32))) },
	func(p *planter) string { return p.pem() },
	func(p *planter) string { return strings.ReplaceAll(p.pem(), "\n", `\n`) },
	func(p *planter) string {
		return "AGE-SECRET-KEY-1" + p.keep(p.letters("QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", 58))
	},
	func(p *planter) string { return "AKIA" + p.keep(p.letters("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)) },
	func(p *planter) string {
		return "eyJhbGciOiJFUzI1NiJ9." + p.keep(base64.RawURLEncoding.EncodeToString(p.bytes(40))) + "." +
			p.keep(base64.RawURLEncoding.EncodeToString(p.bytes(64)))
	},
	func(p *planter) string { return "Authorization: Bearer " + p.word() },
	func(p *planter) string { return "bearer " + p.word() },
	func(p *planter) string { return "X-Consul-Token: " + p.word() },
	func(p *planter) string { return "SecretID: " + p.word() },
	func(p *planter) string { return "?token=" + p.word() + "&stale" },
	func(p *planter) string { return `{"a": 1, "token": "` + p.word() + `"}` },
	func(p *planter) string { return `{"acl": {"tokens": {"agent": "` + p.word() + `"}}}` },
	func(p *planter) string { return `said "{\"acl\":{\"tokens\":{\"agent\":\"` + p.word() + `\"}}}"` },
	func(p *planter) string { return "acl {\n  tokens {\n    agent = \"" + p.word() + "\"\n  }\n}" },
	func(p *planter) string { return `said "{\"encrypt\": \"` + p.word() + `\"}"` },
	func(p *planter) string { return "password=" + p.word() },
	func(p *planter) string { return "passphrase: " + p.word() + " " + p.word() },
	func(p *planter) string { return "--client-secret " + p.word() + " --verbose" },
	func(p *planter) string { return "postgres://admin:" + p.word() + "@db.example.com/x" },
	func(p *planter) string { return "secret_access_key = '" + p.word() + "'" },
}

// line is a text without the shapes that have many lines.
func (p *planter) line() string {
	for {
		made := len(p.secrets)
		if text := p.text(); !strings.Contains(strings.TrimSuffix(text, "\nnext line"), "\n") || strings.Contains(text, "PRIVATE KEY") {
			return text
		}
		p.secrets = p.secrets[:made]
	}
}

// text is prose with a secret in it.
func (p *planter) text() string {
	return []string{"seen: ", "", "it says "}[p.IntN(3)] + shapes[p.IntN(len(shapes))](p) + []string{"", " and more", "\nnext " +
		"line"}[p.IntN(3)]
}

// fill plants a secret into every text of an object that is a mere text. Times, sizes and the words of enumerations are none.
func (p *planter) fill(v reflect.Value, depth int) {
	if depth > 8 || !v.CanSet() || isFromMachinery(v.Type()) {
		return
	}
	switch v.Kind() {
	case reflect.String:
		if v.Type() == reflect.TypeOf("") {
			v.SetString(p.text())
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		p.fill(v.Elem(), depth+1)
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Uint8 {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			p.fill(v.Index(0), depth+1)
		}
	case reflect.Map:
		value := reflect.New(v.Type().Elem()).Elem()
		p.fill(value, depth+1)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("a.b/c").Convert(v.Type().Key()), value)
	case reflect.Struct:
		for i := range v.NumField() {
			p.fill(v.Field(i), depth+1)
		}
	}
}

// isFromMachinery is true for what has a form of its own, such as a time or a quantity.
func isFromMachinery(t reflect.Type) bool {
	if t == reflect.TypeOf(metav1.ObjectMeta{}) || t == reflect.TypeOf(v1alpha1.Config{}) || t == reflect.TypeOf(metav1.TypeMeta{}) {
		return true
	}
	_, marshals := reflect.PointerTo(t).MethodByName("MarshalJSON")
	return marshals && t.Kind() == reflect.Struct && strings.HasPrefix(t.PkgPath(), "k8s.io/apimachinery")
}

// object is one of a kind, with secrets everywhere.
func (p *planter) object(o client.Object) client.Object {
	v := reflect.ValueOf(o).Elem()
	for _, field := range []string{"Spec", "Status"} {
		if part := v.FieldByName(field); part.IsValid() {
			p.fill(part, 0)
		}
	}
	o.SetName("consul-3")
	o.SetNamespace("default")
	o.SetAnnotations(map[string]string{
		"example.com/note": p.text(), corev1.LastAppliedConfigAnnotation: p.word(), "example.com/api-token": p.word(),
		v1alpha1.AnnotationSettings: `{"node_meta": {"x": "` + p.text2() + `"}}`,
	})
	o.SetLabels(map[string]string{"example.com/id": p.uuid(), v1alpha1.LabelServer: "consul-3"})
	o.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: p.word()}})
	return o
}

// text2 is a text that can stand in JSON.
func (p *planter) text2() string { return "bearer " + p.word() }

func (p *planter) env() []corev1.EnvVar {
	return []corev1.EnvVar{
		{Name: "ANYTHING", Value: p.word()}, {Name: "CONSUL_HTTP_TOKEN", Value: p.word()}, {Name: "TZ", Value: p.text()},
	}
}

// config is a configuration of Consul with secrets.
func (p *planter) config() *v1alpha1.Config {
	return &v1alpha1.Config{Raw: fmt.Appendf(nil, `{
		"encrypt": "%s", "acl": {"tokens": {"agent": "%s", "default": "%s"}}, "connect": {"ca_config": {"any": "%s"}},
		"license": "%s", "services": [{"name": "x", "token": "%s", "checks": [{"http": "http://u:%s@x", "header": {"x": ["%s"]}}]}],
		"ui_config": {"metrics_proxy": {"add_headers": [{"name": "x", "value": "%s"}]}}, "node_meta": {"note": "%s"}}`,
		base64.StdEncoding.EncodeToString(p.bytes(32)), p.uuid(), p.word(), p.word(), p.word(), p.word(), p.word(), p.word(), p.word(),
		p.text2())}
}

// evidence has secrets wherever somebody could have left one.
func (p *planter) evidence() *evidence {
	return known(func(e *evidence) {
		e.kinds, e.logs, e.secrets = nil, nil, nil
		for i, o := range kindsOfTest() {
			o = p.object(o)
			switch o := o.(type) {
			case *v1alpha1.ConsulCluster:
				o.Spec.Config, o.Spec.PodTemplate.Env = p.config(), p.env()
				o.Spec.Malformed, o.Spec.Raw = "", nil
				o.Status.ObservedGeneration = o.Generation
				e.ConsulCluster = o
				e.is(metav1.ConditionFalse, "Because", p.pem()+" "+p.text())
				condition(o, v1alpha1.ConditionSecure, metav1.ConditionFalse, "Because", p.text())
			case *corev1.Pod:
				o.Spec.Containers[0].Env = p.env()
				o.Spec.Containers[0].Args = []string{"--token", p.word(), p.text()}
				e.pods = map[string]corev1.Pod{o.Name: *o}
			}
			e.kinds = append(e.kinds, objects{fmt.Sprintf("kind-%d.yaml", i), "objects", []client.Object{o}})
		}
		for i := range e.events {
			e.events[i].Message = p.text()
		}
		node := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node1", Labels: map[string]string{"x": p.text()}}}
		node.Status.Conditions = []corev1.NodeCondition{{Message: p.text()}}
		node.Spec.Taints = []corev1.Taint{{Key: "x", Value: p.uuid()}}
		e.nodes, e.zones = []corev1.Node{node}, map[string]string{"node1": p.uuid()}
		var log strings.Builder
		for range 50 {
			log.WriteString("2026-01-01T12:00:00Z [INFO] agent: " + p.line() + "\n")
		}
		e.logs = []logText{{"logs/a.log", log.String()}, {"logs/b.log", p.pem()[50:] + "\n" + log.String()}}
		e.miss("something", fmt.Errorf("an error: %s", p.text()))
		e.versions = []fact{{"operator", p.text()}}
	})
}

// Whatever is planted, and wherever, nothing of it is in a report.
func TestNoSecretIsInAReport(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			g := NewWithT(t)
			p := &planter{Rand: rand.New(rand.NewPCG(seed, 7))}
			e := p.evidence()
			files := bundled(t, e)
			g.Expect(len(p.secrets)).To(BeNumerically(">", 1000))
			t.Logf("%d secrets were planted", len(p.secrets))
			for name, text := range files {
				lower := strings.ToLower(text)
				for _, secret := range p.secrets {
					if at := strings.Index(lower, strings.ToLower(secret)); at >= 0 {
						t.Errorf("%s has %s:\n%s", name, secret, text[max(0, at-100):min(len(text), at+len(secret)+40)])
					}
				}
			}
			g.Expect(files["logs/a.log"]).To(ContainSubstring("[INFO] agent: "), "the rest stays")
		})
	}
}
