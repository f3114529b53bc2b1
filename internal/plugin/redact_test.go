package plugin

import (
	"encoding/json"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

const (
	serverID  = "8f2c3c0e-1111-5222-8333-000000000003"
	aToken    = "b1a5c0de-7e57-4abc-9def-0123456789ab"
	gossipKey = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s="
	ageKey    = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"
	pemKey    = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIIrYSSNQFaA2Hwf1duRSxKtLYX5CB04fSeQ6tF1aY/PuoAoGCCqGSM49\n" +
		"AwEHoUQDQgAEPR3tU2Fta9ktY+6P9G0cWO+0kETA6SFs38GecTyudlHz6xvCdz8q\n-----END EC PRIVATE KEY-----"
)

func TestSecretsInTexts(t *testing.T) {
	for name, test := range map[string][2]string{
		"a token by its name":             {"token=" + aToken + " ok", "token=REDACTED ok"},
		"a token in a query":              {"GET /v1/kv/x?token=s3cr3t&dc=dc1 (200)", "GET /v1/kv/x?token=REDACTED (200)"},
		"a token in a header":             {"X-Consul-Token: s3cr3t", "X-Consul-Token: REDACTED"},
		"a token in a map of Go":          {"map[X-Consul-Token:[s3cr3t] Accept:[*/*]]", "map[X-Consul-Token:[REDACTED] Accept:[*/*]]"},
		"a token in JSON":                 {`{"token": "s3cr3t", "a": 1}`, `{"token": "REDACTED", "a": 1}`},
		"a token in JSON in JSON":         {`"{\"token\":\"s3cr3t\",\"a\":1}"`, `"{\"token\":\"REDACTED\",\"a\":1}"`},
		"a token in prose":                {"no " + aToken + "; again " + aToken, "no REDACTED-UUID-1; again REDACTED-UUID-1"},
		"a token that is stuck to a word": {"x" + aToken + "y", "xREDACTED-UUID-1y"},
		"a token in capitals":             {strings.ToUpper(aToken), "REDACTED-UUID-1"},
		"a quoted token":                  {`the token "s3cr3t" is unknown`, `the token "REDACTED" is unknown`},
		"SecretID":                        {"SecretID:         " + aToken, "SecretID:         REDACTED"},
		"the id of a server":              {"node " + serverID + " joined", "node " + serverID + " joined"},
		"a gossip key":                    {"installed " + gossipKey + ".", "installed REDACTED."},
		"a gossip key by its name":        {`"encrypt": "short"`, `"encrypt": "REDACTED"`},
		"a gossip key of 16 bytes":        {"key cg8StVXbQJ0gPvMd9o7yrg== in use", "key REDACTED in use"},
		"a gossip key without its end":    {strings.TrimSuffix(gossipKey, "=") + " in use", "REDACTED in use"},
		"a private key":                   {"before\n" + pemKey + "\nafter", "before\nREDACTED\nafter"},
		"a private key in one line":       {`"` + strings.ReplaceAll(pemKey, "\n", `\n`) + `"`, `"REDACTED"`},
		"a private key without its end":   {pemKey[:100], "REDACTED"},
		"a private key without its head":  {pemKey[40:] + "\nafter", "REDACTED\nafter"},
		"a bearer token":                  {"got Authorization: Bearer abc.def-123", "got Authorization: REDACTED"},
		"a bearer token alone":            {"sent Bearer abc.def-123 twice", "sent Bearer REDACTED twice"},
		"a basic authorization":           {`"Authorization":"Basic dXNlcjpwYXNz"`, `"Authorization":"REDACTED"`},
		"a web token":                     {"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrIn0.c2lnbmF0dXJl x", "REDACTED x"},
		"an age key":                      {"identity " + ageKey + " given", "identity REDACTED given"},
		"the keys of Amazon":              {"AKIAIOSFODNN7EXAMPLE, wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY1", "REDACTED, REDACTED"},
		"a password in an address":        {"https://user:p@ss@example.com/x", "https://REDACTED@example.com/x"},
		"a password in a flag":            {"run --password hunter2 --verbose", "run --password REDACTED --verbose"},
		"a password in a flag with =":     {"run --password=hunter2", "run --password=REDACTED"},
		"a user of curl":                  {"curl -u admin:hunter2 https://x", "curl -u REDACTED https://x"},
		"a passphrase with blanks":        {"passphrase: correct horse battery\nnext", "passphrase: REDACTED\nnext"},
		"a password with a comma":         {"password=a,b;c)d", "password=REDACTED"},
		"a secret in a variable":          {"CONSUL_HTTP_TOKEN=abc consul members", "CONSUL_HTTP_TOKEN=REDACTED consul members"},
		"a token of Vault":                {"vault hvs.CAESIJlU02LQZq8qKlYy1 used", "vault REDACTED used"},
		"a token of GitHub":               {"ghp_abcdefghijklmnopqrstuvwxyz0123456789", "REDACTED"},
		"a name of a Secret":              {`secret "consul-ca-key" not found`, `secret "consul-ca-key" not found`},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRedactor()
			r.know(serverID)
			NewWithT(t).Expect(r.text(test[0])).To(Equal(test[1]))
		})
	}
}

func TestWhatIsNoSecretStays(t *testing.T) {
	for _, text := range []string{
		"--consul-token-file=/token/token secretName: consul-ca",
		"consul@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		"consul-5 is not a voter yet: autopilot promotes",
		"requiredDuringSchedulingIgnoredDuringExecution",
		"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
	} {
		NewWithT(t).Expect(newRedactor().text(text)).To(Equal(text))
	}
}

func TestWhatIsTakenOnceStaysTaken(t *testing.T) {
	r := newRedactor()
	once := r.log("token=x encrypt=\"y\" password: z\n" + pemKey + "\n" + aToken + " " + gossipKey)
	NewWithT(t).Expect(r.log(once)).To(Equal(once))
}

func TestSecretsInLogs(t *testing.T) {
	for name, test := range map[string][2]string{
		"JSON":                                {`INFO {"tokens":{"agent":"hunter2"},"n":1}`, `INFO {"n":1,"tokens":{REDACTED}}`},
		"JSON without secrets stays as it is": {`{"b":1,  "a":"x"}`, `{"b":1,  "a":"x"}`},
		"no JSON":                             {`a {b} c`, `a {b} c`},
	} {
		t.Run(name, func(t *testing.T) { NewWithT(t).Expect(newRedactor().log(test[0])).To(Equal(test[1])) })
	}
}

func TestSecretsInObjects(t *testing.T) {
	g := NewWithT(t)
	c := &v1alpha1.ConsulCluster{ObjectMeta: metav1.ObjectMeta{Name: "consul", Annotations: map[string]string{
		corev1.LastAppliedConfigAnnotation: "hunter2", "example.com/token": "hunter2", "example.com/json": `{"key": "hunter2"}`,
		v1alpha1.AnnotationRotateTokens: "2026-01-01",
	}}}
	c.Spec.Config = &v1alpha1.Config{Raw: []byte(`{
		"encrypt": "hunter2", "log_level": "INFO", "acl": {"enabled": true, "tokens": {"agent": "hunter2", "more": ["hunter2"]}},
		"connect": {"ca_config": {"anything": {"private": "hunter2", "n": 1234567}}}, "key_file": "/tls/key",
		"ui_config": {"metrics_proxy": {"add_headers": [{"name": "X-Any", "value": "hunter2"}], "base_url": "https://a:hunter2@b"}},
		"retry_join_wan": ["provider=aws secret_access_key=hunter2"]}`)}
	c.Spec.PodTemplate.Env = []corev1.EnvVar{{Name: "ANYTHING", Value: "hunter2"}, {Name: "TZ", Value: "UTC"}}
	c.Spec.PodTemplate.Containers = []corev1.Container{{
		Name: "side", Args: []string{"--password", "hunter2", "--token=hunter2", "--user", "hunter2", "--verbose", "yes"},
		Env: []corev1.EnvVar{{Name: "FROM", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: "a-secret"}, Key: "a-key",
		}}}},
		LivenessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
			HTTPHeaders: []corev1.HTTPHeader{{Name: "X-Token", Value: "hunter2"}, {Name: "Host", Value: "a-host"}},
		}}},
	}}
	c.Spec.PodTemplate.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{
		CSI: &corev1.CSIVolumeSource{Driver: "d", VolumeAttributes: map[string]string{"password": "hunter2"}},
	}}}
	c.Spec.PodTemplate.Tolerations = []corev1.Toleration{{Key: "dedicated", Value: "db"}}
	c.Status.Access = &v1alpha1.Access{Token: "kubectl get secret x"}
	c.Status.Servers = []v1alpha1.ServerStatus{{Name: "consul-3", ID: serverID}}
	r := newRedactor()
	r.know(serverID)
	tree, err := r.object(c)
	g.Expect(err).NotTo(HaveOccurred())
	raw, err := json.Marshal(tree)
	g.Expect(err).NotTo(HaveOccurred())
	got := string(raw)
	g.Expect(got).NotTo(ContainSubstring("hunter2"))
	g.Expect(got).NotTo(ContainSubstring("1234567"))
	for _, kept := range []string{
		serverID, `"log_level":"INFO"`, `"enabled":true`, `"key_file":"/tls/key"`, `"name":"a-secret"`, `"key":"a-key"`, "a-host",
		`"key":"dedicated"`, "kubectl get secret x", `"value":"UTC"`, "2026-01-01", `"name":"ANYTHING"`, `"--verbose","yes"`,
	} {
		g.Expect(got).To(ContainSubstring(kept))
	}
}

func BenchmarkALogIsCleaned(b *testing.B) {
	line := "2026-01-01T12:00:00.000000000Z 2026-01-01T12:00:00.000Z [INFO]  agent.server.raft: pipelining replication: " +
		"peer=\"{Voter " +
		serverID + " 10.244.0.4:8300}\"\n"
	text := strings.Repeat(line, 2000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		newRedactor().log(text)
	}
}
