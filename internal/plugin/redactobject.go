package plugin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

var (
	// secretKeys are the keys whose values are secrets, in Kubernetes and elsewhere.
	secretKeys = regexp.MustCompile(`(?i)` + secretWords + `|authorization`)
	// secretParents are those below which everything is one.
	secretParents = regexp.MustCompile(`(?i)^(?:tokens|credentials|passwords|stringData|binaryData)$`)
	// configKeys are the keys of Consul's configuration whose values are secrets, or may hold one.
	configKeys = regexp.MustCompile(`(?i)key|token|secret|passw|passphrase|credential|encrypt|auth|license|headers?$|^ca_config$`)
	// plainEnv are the variables whose values are shown: nobody knows what the others hold.
	plainEnv = regexp.MustCompile(`^(?:CONSUL_HTTP_ADDR|CONSUL_HTTP_SSL|CONSUL_GRPC_ADDR|GOMAXPROCS|GOMEMLIMIT|GOGC|TZ|LANG)$`)
)

// place is where a value is.
type place struct {
	// parent and key lead to it.
	parent, key string
	// inConfig is set in Consul's configuration, and in what users have put into a text: there any key may be that of a secret.
	inConfig bool
	// isSecret is set below a key that says so.
	isSecret bool
}

// object returns an object of Kubernetes as maps and lists, without secrets, and without what is there a second time.
func (r *redactor) object(o any) (map[string]any, error) {
	raw, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	value, _ := leadingJSON(string(raw))
	tree, isMap := value.(map[string]any)
	if !isMap {
		return nil, fmt.Errorf("%T is no object", o)
	}
	if meta, has := tree["metadata"].(map[string]any); has {
		delete(meta, "managedFields")
		if annotations, has := meta["annotations"].(map[string]any); has {
			delete(annotations, corev1.LastAppliedConfigAnnotation)
		}
	}
	return r.value(tree, place{}).(map[string]any), nil
}

func (r *redactor) value(value any, at place) any {
	switch v := value.(type) {
	case map[string]any:
		return r.fields(v, at)
	case []any:
		return r.items(v, at)
	case string:
		return r.leaf(v, at)
	case json.Number:
		if at.isSecret {
			return redacted
		}
	}
	return value
}

func (r *redactor) fields(fields map[string]any, at place) map[string]any {
	if name, isPair := fields["name"].(string); isPair {
		if _, has := fields["value"]; has && hidesValue(name, at) {
			fields["value"] = redacted
		}
	}
	kept := map[string]any{}
	for key, value := range fields {
		kept[r.text(key)] = r.value(value, at.below(key, value))
	}
	return kept
}

// hidesValue reports whether the value beside a name is a secret: that of a variable of the environment, or of a header.
func hidesValue(name string, at place) bool {
	return at.key == "env" && !plainEnv.MatchString(name) || at.isSecret || secretKeys.MatchString(name)
}

// below is the place of a field.
func (p place) below(key string, value any) place {
	next := place{parent: p.key, key: key, inConfig: p.inConfig || p.key == "spec" && key == "config", isSecret: p.isSecret}
	isOurs := strings.HasPrefix(key, "consuloperator.io/")
	_, isMap := value.(map[string]any)
	_, isList := value.([]any)
	switch {
	case harmless.MatchString(key) || isOurs:
	case p.inConfig:
		next.isSecret = next.isSecret || configKeys.MatchString(key)
	case isMap || isList: // a reference to a Secret is none
		next.isSecret = next.isSecret || secretParents.MatchString(key)
	default:
		next.isSecret = next.isSecret || secretKeys.MatchString(key)
	}
	return next
}

// takesSecret is a flag whose value is a secret, and comes next.
var takesSecret = regexp.MustCompile(`(?i)^--?(?:[\w-]*` + secretWords + `[\w-]*|encrypt|u|user)$`)

// items are those of a list. In a list of arguments, the value of a flag may be the next one.
func (r *redactor) items(items []any, at place) []any {
	kept, flag := make([]any, len(items)), ""
	for i, item := range items {
		text, isText := item.(string)
		if isText && takesSecret.MatchString(flag) && !harmless.MatchString(flag) && !strings.HasPrefix(text, "-") {
			kept[i] = redacted
		} else {
			kept[i] = r.value(item, at)
		}
		flag = text
	}
	return kept
}

// leaf is a text. One that holds JSON is what somebody has put away there.
func (r *redactor) leaf(text string, at place) any {
	if at.isSecret && !strings.HasPrefix(text, "kubectl ") { // the status has the command that shows the token
		return redacted
	}
	return r.text(r.embedded(text))
}

// embedded takes secrets out of the JSON in a text. What has none stays as it is written.
func (r *redactor) embedded(text string) string {
	var b strings.Builder
	for {
		from := strings.IndexAny(text, "{[")
		if from < 0 {
			b.WriteString(text)
			return b.String()
		}
		b.WriteString(text[:from])
		text = text[from:]
		value, length := leadingJSON(text)
		if length == 0 {
			length = 1
			b.WriteString(text[:1])
		} else {
			b.WriteString(r.encoded(value, text[:length]))
		}
		text = text[length:]
	}
}

// leadingJSON is the object or list with which a text begins, and how long it is; 0 if it begins with none.
func leadingJSON(text string) (value any, length int) {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	if decoder.Decode(&value) != nil {
		return nil, 0
	}
	return value, int(decoder.InputOffset())
}

func (r *redactor) encoded(value any, as string) string {
	before, err := json.Marshal(value)
	if err != nil {
		return redacted
	}
	after, err := json.Marshal(r.value(value, place{inConfig: true}))
	switch {
	case err != nil:
		return redacted
	case bytes.Equal(before, after):
		return as
	}
	return string(after)
}

// log takes secrets out of a log. Private keys have many lines; all else is looked for in one.
func (r *redactor) log(text string) string {
	lines := strings.Split(r.embedded(apply(privateKeys, text)), "\n")
	for i := range lines {
		lines[i] = r.line(lines[i])
	}
	return strings.Join(lines, "\n")
}

// cluster returns a cluster without secrets.
func (r *redactor) cluster(c *v1alpha1.ConsulCluster) (*v1alpha1.ConsulCluster, error) {
	tree, err := r.object(c)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(tree)
	if err != nil {
		return nil, err
	}
	clean := &v1alpha1.ConsulCluster{}
	return clean, json.Unmarshal(raw, clean)
}

// picture returns what is shown of a cluster, without secrets. This happens before lines are broken: half a secret is not found.
func (r *redactor) picture(p picture) (clean picture, err error) {
	if clean.ConsulCluster, err = r.cluster(p.ConsulCluster); err != nil {
		return picture{}, err
	}
	clean.pods, clean.zones = map[string]corev1.Pod{}, map[string]string{}
	for name, pod := range p.pods {
		shown := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: pod.CreationTimestamp}}
		shown.Labels = map[string]string{v1alpha1.LabelRevision: r.text(pod.Labels[v1alpha1.LabelRevision])}
		shown.Spec.NodeName = r.text(pod.Spec.NodeName)
		clean.pods[name] = shown
	}
	for node, zone := range p.zones {
		clean.zones[r.text(node)] = r.text(zone)
	}
	clean.saved = p.saved
	return clean, nil
}

// events returns events without secrets, as far as they are shown.
func (r *redactor) events(events []corev1.Event) (clean []corev1.Event) {
	for _, event := range events {
		event.Message, event.Reason, event.Type = r.text(event.Message), r.text(event.Reason), r.text(event.Type)
		event.InvolvedObject.Kind, event.InvolvedObject.Name = r.text(event.InvolvedObject.Kind), r.text(event.InvolvedObject.Name)
		clean = append(clean, event)
	}
	return clean
}
