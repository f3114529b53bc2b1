package main

import (
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
)

func TestTextsOfSecrets(t *testing.T) {
	g := NewWithT(t)
	const token, key = "f0f0f0f0-0000-4000-8000-000000000000", "q80v3Iq8XCiY0gTJwjXc8nDJvV1cUdT2XvI3r9a2mXk="
	const line = "MHcCAQEEIIrYSSNQFaA2Hwf1duRSxKtLYX5CB04fSeQ6tF1aY/PuoAoGCCqGSM49"
	for text, found := range map[string][]string{
		`{"agent": "` + token + `"}`: {token}, `["` + key + `"]`: {key}, "-----BEGIN EC PRIVATE KEY-----\n" + line + "\n": {line},
		"consul-0 is a healthy voter": nil,
	} {
		g.Expect(texts.FindAllString(text, -1)).To(Equal(found))
	}
}

func TestSecretsInLogs(t *testing.T) {
	g, dir := NewWithT(t), t.TempDir()
	g.Expect(os.MkdirAll(filepath.Join(dir, "pods"), 0o755)).To(Succeed())
	for name, text := range map[string]string{"pods/consul.log": "token", "operator.log": "", "raft.db": "data"} {
		g.Expect(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)).To(Succeed())
	}
	var seen []string
	g.Expect(lookAtLogs(dir, func(where string, what []byte) {
		seen = append(seen, filepath.Base(where)+": "+string(what))
	})).To(Succeed())
	g.Expect(seen).To(ConsistOf("consul.log: token", "operator.log: "))
	own := ""
	g.Expect(lookAtProcesses(func(_ string, what []byte) { own += string(what) })).To(Succeed())
	g.Expect(own).To(ContainSubstring(filepath.Base(os.Args[0])))
}
