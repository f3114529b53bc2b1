package snapshot

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/test/lib/objectstore"
)

// identityToken is what the kubelet puts into a file of a pod.
const identityToken = "projected-token"

// withoutIdentity has the SDK find nothing of this machine's.
func withoutIdentity(t *testing.T) {
	t.Helper()
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
		"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL_S3",
	} {
		t.Setenv(name, "")
	}
	none := filepath.Join(t.TempDir(), "none")
	t.Setenv("AWS_CONFIG_FILE", none)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", none)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

// agent gives pods their credentials, as EKS Pod Identity does.
func agent(secret string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != identityToken {
			http.Error(w, `{"Code":"AccessDenied","Message":"no such pod"}`, http.StatusForbidden)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"AccessKeyId": objectstore.AccessKeyID, "SecretAccessKey": secret})
	}
}

// securityTokens exchanges the tokens of pods for credentials, as AWS STS does. The store knows no sessions, so there is no token
// of one.
func securityTokens(secret string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/xml")
		if r.FormValue("Action") != "AssumeRoleWithWebIdentity" || r.FormValue("WebIdentityToken") != identityToken ||
			r.FormValue("RoleArn") != "arn:aws:iam::1:role/backups" {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `<ErrorResponse><Error><Code>AccessDenied</Code><Message>who?</Message></Error></ErrorResponse>`)
			return
		}
		_, _ = fmt.Fprintf(w, `<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>
			<AccessKeyId>%s</AccessKeyId><SecretAccessKey>%s</SecretAccessKey><Expiration>2100-01-01T00:00:00Z</Expiration>
			</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`, objectstore.AccessKeyID, secret)
	}
}

// A pod that has an identity of its own needs no Secret.
func TestIdentityOfThePod(t *testing.T) {
	_, options := startBucket(t, undisturbed)
	options.CredentialsDir = ""
	byAgent := func(t *testing.T, url, token string) {
		t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url+"/v1/credentials")
		t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token)
	}
	byWeb := func(t *testing.T, url, token string) {
		t.Setenv("AWS_ENDPOINT_URL_STS", url)
		t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", token)
		t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/backups")
	}
	const right, wrong = objectstore.SecretAccessKey, "another"
	for name, c := range map[string]struct {
		from  http.HandlerFunc
		by    func(t *testing.T, url, token string)
		token string
		want  reason.Reason // empty if it is let in
	}{
		"an agent":                  {agent(right), byAgent, identityToken, ""},
		"an agent, of another user": {agent(wrong), byAgent, identityToken, reason.StoreRefuses},
		"an agent, of another pod":  {agent(right), byAgent, "another", reason.StoreRefuses},
		"web":                       {securityTokens(right), byWeb, identityToken, ""},
		"web, of another user":      {securityTokens(wrong), byWeb, identityToken, reason.StoreRefuses},
		"web, of another pod":       {securityTokens(right), byWeb, "another", reason.StoreRefuses},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			withoutIdentity(t)
			token := filepath.Join(t.TempDir(), "token")
			g.Expect(writeFile(token, c.token)).To(Succeed())
			server := httptest.NewServer(c.from)
			t.Cleanup(server.Close)
			c.by(t, server.URL, token)
			bucket, err := OpenBucket(t.Context(), options)
			g.Expect(err).NotTo(HaveOccurred())
			err = putText(t, bucket, "text")
			if c.want != "" {
				g.Expect(reasonOf(err)).To(Equal(c.want), "%v", err)
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(get(t.Context(), bucket, "name")).To(BeEquivalentTo("text"))
		})
	}
}

// secured has TLS before a store, and returns its URL and the file of its authority.
func secured(t *testing.T, endpoint string) (address, authority string) {
	t.Helper()
	g := NewWithT(t)
	to, err := url.Parse(endpoint)
	g.Expect(err).NotTo(HaveOccurred())
	server := httptest.NewTLSServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host // is signed
	}})
	t.Cleanup(server.Close)
	authority = filepath.Join(t.TempDir(), "ca.crt")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	g.Expect(writeFile(authority, string(text))).To(Succeed())
	return server.URL, authority
}

// A store whose certificate is of an authority of its own is believed by that one alone.
func TestAuthorityOfTheStore(t *testing.T) {
	g := NewWithT(t)
	_, options := startBucket(t, undisturbed)
	address, authority := secured(t, options.Endpoint)
	options.Endpoint = address
	empty := filepath.Join(t.TempDir(), "empty")
	g.Expect(writeFile(empty, "no certificate")).To(Succeed())

	options.CAFile = authority
	bucket, err := OpenBucket(t.Context(), options)
	g.Expect(err).NotTo(HaveOccurred())
	for _, text := range [][]byte{[]byte("text"), noise(partSize + 1)} {
		g.Expect(put(t.Context(), bucket, "name", text)).To(Succeed())
		stored, err := get(t.Context(), bucket, "name")
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(string(stored)).To(Equal(string(text)))
	}

	options.CAFile = ""
	bucket, err = OpenBucket(t.Context(), options)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(putText(t, bucket, "text")).To(MatchError(ContainSubstring("unknown authority")))
	_, err = get(t.Context(), bucket, "name")
	g.Expect(err).To(MatchError(ContainSubstring("unknown authority")))

	for _, file := range []string{empty, filepath.Join(t.TempDir(), "missing")} {
		options.CAFile = file
		_, err = OpenBucket(t.Context(), options)
		g.Expect(reasonOf(err)).To(Equal(reason.StoreRefuses))
		g.Expect(err).To(MatchError(ContainSubstring(file)))
	}
}

// The authority is the store's alone: whoever gives the pod its identity has another.
func TestAuthorityOfTheStoreIsNotThatOfTheIdentity(t *testing.T) {
	g := NewWithT(t)
	_, options := startBucket(t, undisturbed)
	options.Endpoint, options.CAFile = secured(t, options.Endpoint)
	options.CredentialsDir = ""
	withoutIdentity(t)
	token := filepath.Join(t.TempDir(), "token")
	g.Expect(writeFile(token, identityToken)).To(Succeed())
	// With TLS by the same authority, which is not one of those that everybody believes.
	identities := httptest.NewTLSServer(securityTokens(objectstore.SecretAccessKey))
	t.Cleanup(identities.Close)
	t.Setenv("AWS_ENDPOINT_URL_STS", identities.URL)
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", token)
	t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/backups")
	bucket, err := OpenBucket(t.Context(), options)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(putText(t, bucket, "text")).To(MatchError(ContainSubstring("unknown authority")))
}
