package snapshot

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"filippo.io/age"

	"github.com/consul-operator/consul-operator/api/reason"
)

// ageHeader is how each encrypted file begins (https://age-encryption.org/v1).
const ageHeader = "age-encryption.org/"

// scryptWork makes encrypting with a passphrase take 32 MiB of memory: 128 bytes · 8 · 2^15. The default of age, 2^18, takes
// 256 MiB, which a Job's pod does not have.
const scryptWork = 15

// shortestPassphrase is how many bytes a passphrase has at least. It is no person's to remember.
const shortestPassphrase = 20

// Keys are what snapshots are encrypted and decrypted with. The zero value encrypts nothing.
type Keys struct {
	recipients []age.Recipient
	identities []age.Identity
}

// NewKeys returns keys for recipients, each a public key (age1…). The identities, one in a line (AGE-SECRET-KEY-…), decrypt;
// without any, snapshots are only saved.
func NewKeys(recipients []string, identities []byte) (Keys, error) {
	var keys Keys
	for _, text := range recipients {
		parsed, err := age.ParseRecipients(bytes.NewReader([]byte(text)))
		if err != nil {
			return Keys{}, fmt.Errorf("recipient %q: %w", text, err)
		}
		keys.recipients = append(keys.recipients, parsed...)
	}
	if len(identities) > 0 {
		parsed, err := age.ParseIdentities(bytes.NewReader(identities))
		if err != nil {
			return Keys{}, errors.New("the identities are none of age's, such as AGE-SECRET-KEY-1…") // and are not printed
		}
		keys.identities = parsed
	}
	return keys, nil
}

// NewPassphrase returns keys that follow from a passphrase.
func NewPassphrase(passphrase []byte) (Keys, error) {
	passphrase = bytes.TrimSpace(passphrase)
	if len(passphrase) < shortestPassphrase {
		return Keys{}, fmt.Errorf("the passphrase has fewer than %d bytes: take random ones", shortestPassphrase)
	}
	recipient, err := age.NewScryptRecipient(string(passphrase))
	if err != nil {
		return Keys{}, err
	}
	recipient.SetWorkFactor(scryptWork)
	identity, err := age.NewScryptIdentity(string(passphrase))
	return Keys{recipients: []age.Recipient{recipient}, identities: []age.Identity{identity}}, err
}

// CanEncrypt reports whether snapshots are encrypted.
func (k Keys) CanEncrypt() bool { return len(k.recipients) > 0 }

// encrypt encrypts what is written. Closing ends the encrypted text, and not what it is written to.
func (k Keys) encrypt(to io.Writer) (io.WriteCloser, error) {
	if !k.CanEncrypt() {
		return open{to}, nil
	}
	defer forget()
	return age.Encrypt(to, k.recipients...)
}

// forget gives back what it took to derive a key from a passphrase. Go would keep it, and let as much again be filled beside it.
func forget() { debug.FreeOSMemory() }

// open writes as it is.
type open struct{ io.Writer }

func (open) Close() error { return nil }

// CanDecrypt reports whether snapshots can be decrypted.
func (k Keys) CanDecrypt() bool { return len(k.identities) > 0 }

// decrypt decrypts what is encrypted. Anything else is returned as it is, if snapshots are not encrypted, or this one is known by
// its sum: otherwise it may be anybody's who can write to the store.
func (k Keys) decrypt(from io.Reader, isKnown bool) (io.Reader, error) {
	buffered := bufio.NewReader(from)
	if start, _ := buffered.Peek(len(ageHeader)); string(start) != ageHeader {
		if (k.CanEncrypt() || k.CanDecrypt()) && !isKnown {
			return nil, failed(reason.SnapshotUnfit, errors.New("it is not encrypted, and snapshots of the cluster are"))
		}
		return buffered, nil
	}
	if len(k.identities) == 0 {
		return nil, failed(reason.SnapshotKeyMissing, errors.New("the snapshot is encrypted, and there is no key to decrypt it with"))
	}
	plain, err := age.Decrypt(buffered, k.identities...)
	forget()
	if wrong := new(age.NoIdentityMatchError); errors.As(err, &wrong) {
		return nil, failed(reason.SnapshotKeyMissing, errors.New("the snapshot is encrypted with another key"))
	}
	return plain, err
}
