package resources_test

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

func secretWith(key, text string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "more"}, Data: map[string][]byte{key: []byte(text)}}
}

func TestConfigurationInASecret(t *testing.T) {
	for what, test := range map[string]struct{ text, fails string }{
		"configuration":       {`{"connect": {"ca_config": {"token": "s3cret"}}}`, ""},
		"nothing":             {``, "the Secret more has no key config.json"},
		"no JSON":             {`token = "s3cret"`, "config.json in the Secret more is no JSON object"},
		"more than an object": {`{} s3cret`, "config.json in the Secret more is no JSON object"},
		"a list":              {`["s3cret"]`, "config.json in the Secret more is no JSON object"},
		"a key that is there twice": {`{"connect": {"enabled": true, "Enabled": "s3cret"}}`,
			"config.json in the Secret more.connect.enabled: Consul does not distinguish it from Enabled: remove one of them"},
	} {
		t.Run(what, func(t *testing.T) {
			g := NewWithT(t)
			values, err := resources.UserConfig(secretWith("config.json", test.text), "")
			if test.fails != "" {
				g.Expect(err).To(MatchError(test.fails))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(values).To(HaveKey("connect"))
		})
	}
	_, err := resources.UserConfig(secretWith("mine", `{}`), "mine")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
}

// I6: the configuration in Secrets is a part of the revision like the rest, and changes nothing of the ConsulCluster.
func TestWithConfig(t *testing.T) {
	g := NewWithT(t)
	c := plain()
	c.Spec.Config = config(t, map[string]any{"Connect": map[string]any{"enabled": true}, "log_level": "DEBUG"})
	before := c.DeepCopy()
	completed, err := resources.WithConfig(c, resources.MergeConfig(
		map[string]any{"connect": map[string]any{"ca_config": map[string]any{"token": "first"}}},
		map[string]any{"Connect": map[string]any{"ca_config": map[string]any{"token": "second"}}},
	))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(c).To(Equal(before))
	values, err := completed.Spec.Config.Values()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(values).To(Equal(map[string]any{
		"Connect": map[string]any{"enabled": true, "ca_config": map[string]any{"token": "second"}}, "log_level": "DEBUG",
	}))
	g.Expect(resources.Revision(completed)).NotTo(Equal(resources.Revision(c)))
	same, err := resources.WithConfig(c, resources.ConfigFrom{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(resources.Revision(same)).To(Equal(resources.Revision(c)), "nothing was added")

	c.Spec.Config = &v1alpha1.Config{Raw: []byte("[]")}
	_, err = resources.WithConfig(c, nil)
	g.Expect(err).To(MatchError(HavePrefix("spec.config is not a JSON object")))
}

// I12: what servers learn while they run travels in annotations and through Consul's API, which is no way for secrets.
func TestWhatServersLearnIsNoSecret(t *testing.T) {
	c := plain()
	c.Spec.Config = config(t, map[string]any{
		"log_level": "DEBUG", "limits": map[string]any{"request_limits": map[string]any{"mode": "permissive"}},
	})
	for _, more := range []map[string]any{
		{"Limits": map[string]any{"request_limits": map[string]any{"mode": "enforcing"}}},
		{"limits": []any{map[string]any{"rpc_client_timeout": "7s"}}},
		{"limits": nil},
		{"LOG_LEVEL": "INFO"},
		{"autopilot": map[string]any{"upgrade_version_tag": "s3cret"}},
		{"autopilot": "s3cret"},
	} {
		_, err := resources.WithConfig(c, more)
		NewWithT(t).Expect(err).To(MatchError(HavePrefix("it changes what servers learn while they run")), "%v", more)
	}
	_, err := resources.WithConfig(c, map[string]any{"limits": map[string]any{"rpc_client_timeout": "7s"}})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
}

// What was copied counts for the Secrets that it was copied from.
func TestTheCopyOfConfiguration(t *testing.T) {
	g := NewWithT(t)
	c := plain()
	c.Spec.ConfigFrom = []v1alpha1.ConfigSource{{SecretRef: v1alpha1.SecretKey{Name: "more"}}}
	from := resources.MergeConfig(map[string]any{"connect": map[string]any{"enabled": true}})
	secret, err := resources.ConfigFromSecret(c, from)
	g.Expect(err).NotTo(HaveOccurred())
	copied, isOfThese := resources.ConfigFromCopy(secret, c)
	g.Expect(copied).To(Equal(from))
	g.Expect(isOfThese).To(BeTrue())
	c.Spec.ConfigFrom[0].SecretRef.Key = "another"
	copied, isOfThese = resources.ConfigFromCopy(secret, c)
	g.Expect(copied).To(Equal(from))
	g.Expect(isOfThese).To(BeFalse())
	g.Expect(resources.Cached(secret)).NotTo(HaveKey("config.json"), "the cache has a digest of it only")
}
