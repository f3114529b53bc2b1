package resources

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

const (
	// keyManagement holds the management token. The name of its Secret and the key are those of HashiCorp's Helm chart.
	keyManagement = "token"
	// keyServers is the file with the tokens that servers have. keyOperator and keyRecovery hold those of the operator.
	keyServers  = "servers.json"
	keyOperator = "operator"
	keyRecovery = "agent-recovery"
	// keyNextToken holds the management token that is to take the place of the present one. keyFormerTokens holds those of before
	// that servers may have been started with, and keyFormerRecovery what servers know that have not read keyRecovery yet.
	keyNextToken      = "next-token"
	keyFormerTokens   = "former-tokens"
	keyFormerRecovery = "former-agent-recovery"
)

// ManagementTokens are the management tokens of a cluster: those of the operator and of the servers follow from each. They are
// secret: they are never printed.
type ManagementTokens struct {
	Present string
	// Next is the one that is to take its place; empty if none is.
	Next string
	// Former are those that it took the place of, and that servers may have been started with; the last one first.
	Former []string
}

// String does not print the tokens.
func (t ManagementTokens) String() string {
	return fmt.Sprintf("%d former management tokens", len(t.Former))
}

// GoString does not either.
func (t ManagementTokens) GoString() string { return t.String() }

// WithNextFirst are the same tokens: the next one is the present one.
func (t ManagementTokens) WithNextFirst() ManagementTokens {
	return ManagementTokens{Present: t.Next, Former: append([]string{t.Present}, t.Former...)}
}

// All are the tokens that Consul may know, the present one first.
func (t ManagementTokens) All() []string { return append([]string{t.Present}, t.Former...) }

// ManagementSecret returns the Secret with the management token.
func ManagementSecret(c *v1alpha1.ConsulCluster, token string) *corev1.Secret {
	secret := &corev1.Secret{
		ObjectMeta: meta(c, ManagementSecretName(c.Name)), Data: map[string][]byte{keyManagement: []byte(token)},
	}
	setAnnotation(secret, v1alpha1.AnnotationTokenName, tokenName(token))
	return secret
}

// tokenName identifies a management token, without telling anything about it.
func tokenName(management string) string { return Token(management, RoleManagement).Accessor }

// HaveSameToken reports whether two Secrets, as the cache has them, were given the same management token.
func HaveSameToken(a, b *corev1.Secret) bool {
	name := a.Annotations[v1alpha1.AnnotationTokenName]
	return name != "" && name == b.Annotations[v1alpha1.AnnotationTokenName]
}

// ManagementTokensOf returns the management tokens in a Secret; the present one is empty if it has none. Both Secrets have
// that one.
func ManagementTokensOf(secret *corev1.Secret) (ManagementTokens, error) {
	tokens := ManagementTokens{Present: string(secret.Data[keyManagement]), Next: string(secret.Data[keyNextToken])}
	if former, has := secret.Data[keyFormerTokens]; has && json.Unmarshal(former, &tokens.Former) != nil {
		return ManagementTokens{}, fmt.Errorf("%s is not a list of tokens", keyFormerTokens)
	}
	return tokens, nil
}

// serversFile is the configuration file with the tokens of the servers. None of it is part of a revision: tokens are replaced
// without a rollout.
type serversFile struct {
	ACL struct {
		Tokens struct {
			// InitialManagement is made in Consul by each new leader, whatever data it has, unless it is there
			// (https://developer.hashicorp.com/consul/docs/reference/agent/configuration-file/acl#acl_tokens_initial_management). A
			// server reads it when it starts, and the others again when it is told to.
			InitialManagement string `json:"initial_management"`
			// Agent is what a server keeps its own node up to date with.
			Agent string `json:"agent"`
			// AgentRecovery may read and stop the agent, also if there is no leader.
			AgentRecovery string `json:"agent_recovery"`
		} `json:"tokens"`
	} `json:"acl"`
}

// TokensSecret returns the Secret with the tokens that servers and the operator use. All follow from the one that may do
// everything.
func TokensSecret(c *v1alpha1.ConsulCluster, tokens ManagementTokens) (*corev1.Secret, error) {
	secret := &corev1.Secret{ObjectMeta: meta(c, TokensSecretName(c.Name))}
	return secret, SetTokens(secret, tokens)
}

// SetTokens changes the tokens in a Secret.
func SetTokens(secret *corev1.Secret, tokens ManagementTokens) error {
	var file serversFile
	file.ACL.Tokens.InitialManagement = tokens.Present
	file.ACL.Tokens.Agent = Token(tokens.Present, RoleServers).Secret
	recovery := Token(tokens.Present, RoleRecovery).Secret
	file.ACL.Tokens.AgentRecovery = recovery
	servers, err := json.Marshal(file)
	former, errFormer := json.Marshal(tokens.Former)
	if err != nil || errFormer != nil {
		return errors.New("the ACL tokens cannot be written as JSON") // the errors have them
	}
	secret.Data = map[string][]byte{
		keyServers: servers, keyManagement: []byte(tokens.Present), keyRecovery: []byte(recovery),
		keyOperator: []byte(Token(tokens.Present, RoleOperator).Secret),
	}
	if tokens.Next != "" {
		secret.Data[keyNextToken] = []byte(tokens.Next)
	}
	if len(tokens.Former) > 0 {
		secret.Data[keyFormerTokens] = former
		secret.Data[keyFormerRecovery] = []byte(Token(tokens.Former[0], RoleRecovery).Secret)
	}
	setAnnotation(secret, v1alpha1.AnnotationTokenName, tokenName(tokens.Present))
	return nil
}

// OperatorTokens are what the operator calls servers with.
type OperatorTokens struct {
	// Operator is for calls about the cluster.
	Operator string
	// Recovery is for calls about an agent, which may know no leader. FormerRecovery is for one that has not read it yet.
	Recovery, FormerRecovery string
}

// OperatorTokensOf returns the operator's tokens. The cache keeps them: the operator has them in memory anyway.
func OperatorTokensOf(secret *corev1.Secret) OperatorTokens {
	return OperatorTokens{
		Operator: string(secret.Data[keyOperator]), Recovery: string(secret.Data[keyRecovery]),
		FormerRecovery: string(secret.Data[keyFormerRecovery]),
	}
}

// TokenStage is how far the rotation of the tokens in a Secret is.
type TokenStage string

const (
	// TokensSettled means that no server can have been started with others.
	TokensSettled TokenStage = "Settled"
	// TokensComing means that there is a token that is to take the place of the present one.
	TokensComing TokenStage = "Coming"
	// TokensGoing means that there are others of before, which servers may use.
	TokensGoing TokenStage = "Going"
	// TokensRevoked means that they have no rights any more, and that servers may have been started with them.
	TokensRevoked TokenStage = "Revoked"
)

// TokenStageOf returns the stage of a Secret, also as the cache has it.
func TokenStageOf(secret *corev1.Secret) TokenStage {
	has := func(key string) bool { _, there := secret.Data[key]; return there }
	switch {
	case has(keyNextToken):
		return TokensComing
	case !has(keyFormerTokens):
		return TokensSettled
	case secret.Annotations[v1alpha1.AnnotationTokensRevoked] == "":
		return TokensGoing
	}
	return TokensRevoked
}

// TokensMade reports whether the tokens in a Secret were made in Consul.
func TokensMade(secret *corev1.Secret) bool {
	return secret.Annotations[v1alpha1.AnnotationTokensMade] != ""
}

// SetTokensMade takes note of it. Those of before may have come back with a snapshot.
func SetTokensMade(secret *corev1.Secret, now time.Time) {
	setAnnotation(secret, v1alpha1.AnnotationTokensMade, now.UTC().Format(time.RFC3339))
	delete(secret.Annotations, v1alpha1.AnnotationTokensRevoked)
	delete(secret.Annotations, v1alpha1.AnnotationDNSGranted)
}

// SetDNSGranted takes note of whether those who have no token may look up services and nodes.
func SetDNSGranted(secret *corev1.Secret, granted bool) {
	if !granted {
		delete(secret.Annotations, v1alpha1.AnnotationDNSGranted)
		return
	}
	setAnnotation(secret, v1alpha1.AnnotationDNSGranted, "true")
}

// IsDNSGranted reports it.
func IsDNSGranted(secret *corev1.Secret) bool {
	return secret.Annotations[v1alpha1.AnnotationDNSGranted] != ""
}

// SetTokensRevoked takes note that the tokens of before have no rights any more.
func SetTokensRevoked(secret *corev1.Secret, now time.Time) {
	setAnnotation(secret, v1alpha1.AnnotationTokensRevoked, now.UTC().Format(time.RFC3339))
}

// SetTokensChanged takes note of when servers get other tokens.
func SetTokensChanged(secret *corev1.Secret, now time.Time) {
	setAnnotation(secret, v1alpha1.AnnotationKeysChanged, now.UTC().Format(time.RFC3339))
}

// SetTokensRotatedFor records that the newest tokens in a Secret are those that a cluster asks for.
func SetTokensRotatedFor(secret *corev1.Secret, c *v1alpha1.ConsulCluster) {
	setAnnotation(secret, v1alpha1.AnnotationRotatedFor, c.Annotations[v1alpha1.AnnotationRotateTokens])
}

// WhyOtherTokens says why a cluster gets other tokens than those in its Secret: on request, or because of their age. It is
// empty if it does not.
func WhyOtherTokens(c *v1alpha1.ConsulCluster, secret *corev1.Secret, now time.Time) string {
	asked, every := c.Annotations[v1alpha1.AnnotationRotateTokens], c.Spec.ACLs.RotateEvery
	switch {
	case asked != "" && asked != secret.Annotations[v1alpha1.AnnotationRotatedFor]:
		return "they were asked for"
	case every != nil && every.Duration > 0 && !now.Before(KeysChanged(secret).Add(every.Duration)):
		return fmt.Sprintf("the present ones are older than %s", every.Duration)
	}
	return ""
}
