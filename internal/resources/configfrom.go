package resources

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	corev1 "k8s.io/api/core/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// UserConfig returns the configuration in a Secret, which is in `config.json` unless another key is named.
func UserConfig(secret *corev1.Secret, named string) (map[string]any, error) {
	name := cmp.Or(named, "config.json")
	text, err := valueOf(secret, name)
	if err != nil {
		return nil, err
	}
	config := v1alpha1.Config{Raw: []byte(text)}
	values, err := config.Values()
	if err != nil || !json.Valid(config.Raw) {
		return nil, fmt.Errorf("%s in the Secret %s is no JSON object", name, secret.Name)
	}
	return values, writtenTwice(fmt.Sprintf("%s in the Secret %s", name, secret.Name), values)
}

// ConfigFrom is the configuration in Secrets of users: what they hold, merged.
type ConfigFrom map[string]any

// MergeConfig returns what several Secrets hold, of which the later ones count.
func MergeConfig(parts ...map[string]any) ConfigFrom {
	merged := map[string]any{}
	for _, part := range parts {
		merged = merge(merged, part)
	}
	return merged
}

// ConfigFromSecretName returns the name of the Secret that holds a copy of the configuration in Secrets of users.
func ConfigFromSecretName(cluster string) string { return cluster + "-config-from" }

// Keys of that Secret: the configuration, and what spec.configFrom was when it was copied.
const (
	keyCopied  = "config.json"
	keySources = "sources"
)

// ConfigFromSecret returns the Secret with the copy. A user's Secret may be gone when a server has to be replaced.
func ConfigFromSecret(c *v1alpha1.ConsulCluster, from ConfigFrom) (*corev1.Secret, error) {
	copied, err := json.Marshal(from)
	if err != nil {
		return nil, fmt.Errorf("spec.configFrom: %w", err)
	}
	return &corev1.Secret{
		ObjectMeta: meta(c, ConfigFromSecretName(c.Name)),
		Data:       map[string][]byte{keyCopied: copied, keySources: sourcesOf(c)},
	}, nil
}

// ConfigFromCopy returns what was copied, and whether the spec names the Secrets that it was copied from.
func ConfigFromCopy(secret *corev1.Secret, c *v1alpha1.ConsulCluster) (copied ConfigFrom, isOfThese bool) {
	config := v1alpha1.Config{Raw: secret.Data[keyCopied]}
	values, err := config.Values()
	return values, err == nil && bytes.Equal(secret.Data[keySources], sourcesOf(c))
}

func sourcesOf(c *v1alpha1.ConsulCluster) []byte {
	said, err := json.Marshal(c.Spec.ConfigFrom)
	if err != nil {
		return nil // text can be encoded
	}
	return said
}

// errLearned is about configuration that reaches Consul in other ways than by the revision, which are not made for secrets.
var errLearned = errors.New(
	"it changes what servers learn while they run, such as log_level and autopilot: leave that to spec.config")

// WithConfig returns a copy of a cluster with more configuration, merged over what it has.
func WithConfig(c *v1alpha1.ConsulCluster, more ConfigFrom) (*v1alpha1.ConsulCluster, error) {
	config, err := c.Spec.Config.Values()
	if err != nil {
		return nil, fmt.Errorf("spec.%w", err)
	}
	completed := c.DeepCopy()
	if completed.Spec.Config, err = v1alpha1.NewConfig(merge(config, more)); err != nil {
		return nil, err
	}
	if !reflect.DeepEqual(learned(c), learned(completed)) {
		return nil, errLearned
	}
	return completed, nil
}

// learned is the part of spec.config that servers learn while they run; nil if it cannot be parsed.
func learned(c *v1alpha1.ConsulCluster) map[string]any {
	values, err := c.Spec.Config.Values()
	if err != nil {
		return nil
	}
	autopilot := single(values[spelling(values, keyAutopilot)])
	parts, err := divide(c)
	if err != nil {
		return nil
	}
	parts.settings[keyAutopilot] = autopilot
	return parts.settings
}
