package snapshot

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"filippo.io/age"
	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/reason"
)

const passphrase = "correct horse battery staple"

func newIdentity() (recipient, identity string) {
	made, err := age.GenerateX25519Identity()
	must(err)
	return made.Recipient().String(), made.String()
}

func encrypted(t *testing.T, keys Keys) []byte {
	t.Helper()
	var out bytes.Buffer
	to, err := keys.encrypt(&out)
	must(err)
	must(io.WriteString(to, "secret"))
	must(to.Close())
	return out.Bytes()
}

func decrypted(keys Keys, text []byte) (string, error) {
	from, err := keys.decrypt(bytes.NewReader(text), false)
	if err != nil {
		return "", err
	}
	plain, err := io.ReadAll(from)
	return string(plain), err
}

func TestKeys(t *testing.T) {
	g := NewWithT(t)
	recipient, identity := newIdentity()
	other, otherIdentity := newIdentity()
	both, err := NewKeys([]string{recipient, other}, []byte(identity))
	g.Expect(err).NotTo(HaveOccurred())
	saving, err := NewKeys([]string{recipient}, nil)
	g.Expect(err).NotTo(HaveOccurred())
	wrong, err := NewKeys(nil, []byte(otherIdentity))
	g.Expect(err).NotTo(HaveOccurred())
	phrase, err := NewPassphrase([]byte(passphrase + "\n"))
	g.Expect(err).NotTo(HaveOccurred())
	otherPhrase, err := NewPassphrase([]byte(passphrase + "."))
	g.Expect(err).NotTo(HaveOccurred())

	text := encrypted(t, both)
	g.Expect(text).NotTo(ContainSubstring("secret"))
	g.Expect(decrypted(both, text)).To(Equal("secret"))
	g.Expect(decrypted(wrong, text)).To(Equal("secret"), "any recipient decrypts")
	g.Expect(decrypted(phrase, encrypted(t, phrase))).To(Equal("secret"))
	g.Expect(decrypted(Keys{}, []byte("as it is"))).To(Equal("as it is"))
	_, err = decrypted(both, []byte("as it is"))
	g.Expect(reasonOf(err)).To(Equal(reason.SnapshotUnfit), "somebody may have put it there")
	known, err := both.decrypt(strings.NewReader("as it is"), true)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(io.ReadAll(known)).To(BeEquivalentTo("as it is"), "it was saved before snapshots were encrypted")

	for _, keys := range []Keys{saving, wrong, {}} {
		_, err := decrypted(keys, encrypted(t, saving))
		g.Expect(reasonOf(err)).To(Equal(reason.SnapshotKeyMissing))
	}
	_, err = decrypted(otherPhrase, encrypted(t, phrase))
	g.Expect(reasonOf(err)).To(Equal(reason.SnapshotKeyMissing))
	_, err = decrypted(both, text[:len(text)-1])
	g.Expect(err).To(HaveOccurred(), "cut off")
}

// What is secret is in no error.
func TestKeysThatAreNone(t *testing.T) {
	g := NewWithT(t)
	_, identity := newIdentity()
	_, err := NewKeys([]string{"age1nonsense"}, nil)
	g.Expect(err).To(MatchError(ContainSubstring("age1nonsense")))
	_, err = NewKeys(nil, []byte(identity[:len(identity)-1]))
	g.Expect(err).To(HaveOccurred())
	g.Expect(err.Error()).NotTo(ContainSubstring(identity[20:30]))
	_, err = NewPassphrase([]byte("short"))
	g.Expect(err).To(HaveOccurred())
	g.Expect(err.Error()).NotTo(ContainSubstring("short "))
}
