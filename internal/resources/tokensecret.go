package resources

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
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
	// keyMetrics holds the token of Prometheus, of which another Secret has a copy.
	keyMetrics = "metrics"
	// keyNextToken holds the management token that is to take the place of the present one. keyFormerTokens holds the former ones
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

// Promoted are the same tokens; the next one is the present one.
func (t ManagementTokens) Promoted() ManagementTokens {
	former := slices.DeleteFunc(t.All(), func(token string) bool { return token == t.Next }) // a person may go back to one
	return ManagementTokens{Present: t.Next, Former: former}
}

// All are the tokens that Consul may know, the present one first.
func (t ManagementTokens) All() []string { return append([]string{t.Present}, t.Former...) }

// Newest returns the tokens of the Secret that servers start with, or of the other one if that has been written since, such
// as where an old backup was restored. It fails if neither knows of the other.
func Newest(servers, other ManagementTokens) (ManagementTokens, error) {
	follows := func(a, b ManagementTokens) bool {
		return slices.Contains(a.Former, b.Present) || b.Next != "" && b.Next == a.Present
	}
	switch {
	case other.Present == "", servers.Present == other.Present, follows(servers, other):
		return servers, nil
	case servers.Present == "", follows(other, servers):
		return other, nil
	}
	return ManagementTokens{}, errors.New("they hold different management tokens, and neither knows of the other")
}

// ManagementSecret returns the Secret with the management token, for people. It has the others as well: either Secret can
// be made from the other one, also during a rotation.
func ManagementSecret(c *v1alpha1.ConsulCluster, tokens ManagementTokens) *corev1.Secret {
	secret := &corev1.Secret{ObjectMeta: meta(c, ManagementSecretName(c.Name)), Data: map[string][]byte{}}
	setManagementTokens(secret, tokens)
	return secret
}

// setManagementTokens adds the management tokens to a Secret, and what identifies them, without telling anything about them.
func setManagementTokens(secret *corev1.Secret, tokens ManagementTokens) {
	secret.Data[keyManagement] = []byte(tokens.Present)
	if tokens.Next != "" {
		secret.Data[keyNextToken] = []byte(tokens.Next)
	}
	if len(tokens.Former) > 0 {
		former, err := json.Marshal(tokens.Former)
		if err != nil {
			panic("strings can be written") // without the error, which has them
		}
		secret.Data[keyFormerTokens] = former
	}
	all := strings.Join(append([]string{tokens.Next}, tokens.All()...), " ")
	setAnnotation(secret, v1alpha1.AnnotationManagementTokenID, Token(all, RoleManagement).Accessor)
}

// HaveSameTokens reports whether two Secrets, as the cache has them, were given the same management tokens.
func HaveSameTokens(a, b *corev1.Secret) bool {
	id := a.Annotations[v1alpha1.AnnotationManagementTokenID]
	return id != "" && id == b.Annotations[v1alpha1.AnnotationManagementTokenID]
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
// everything. A request for others is taken to be older than it.
func TokensSecret(c *v1alpha1.ConsulCluster, tokens ManagementTokens) *corev1.Secret {
	secret := &corev1.Secret{ObjectMeta: meta(c, TokensSecretName(c.Name))}
	SetTokens(secret, tokens)
	SetRotatedFor(secret, c, v1alpha1.AnnotationRotateTokens)
	return secret
}

// SetTokens changes the tokens in a Secret.
func SetTokens(secret *corev1.Secret, tokens ManagementTokens) {
	var file serversFile
	file.ACL.Tokens.InitialManagement = tokens.Present
	file.ACL.Tokens.Agent = Token(tokens.Present, RoleServers).Secret
	recovery := Token(tokens.Present, RoleRecovery).Secret
	file.ACL.Tokens.AgentRecovery = recovery
	servers, err := json.Marshal(file)
	if err != nil {
		panic("strings can be written") // without the error, which has them
	}
	secret.Data = map[string][]byte{
		keyServers: servers, keyRecovery: []byte(recovery), keyOperator: []byte(Token(tokens.Present, RoleOperator).Secret),
		keyMetrics: []byte(Token(tokens.Present, RoleMetrics).Secret),
	}
	setManagementTokens(secret, tokens)
	if len(tokens.Former) > 0 {
		secret.Data[keyFormerRecovery] = []byte(Token(tokens.Former[0], RoleRecovery).Secret)
	}
}

// OperatorTokens are what the operator calls servers with.
type OperatorTokens struct {
	// Operator is for calls about the cluster.
	Operator string
	// Recovery is for calls about an agent, which may know no leader. FormerRecovery is for one that has not read it yet.
	Recovery, FormerRecovery string
	// Metrics is what Prometheus reads metrics with.
	Metrics string
}

// OperatorTokensOf returns the operator's tokens. The cache keeps them: the operator has them in memory anyway.
func OperatorTokensOf(secret *corev1.Secret) OperatorTokens {
	return OperatorTokens{
		Operator: string(secret.Data[keyOperator]), Recovery: string(secret.Data[keyRecovery]),
		FormerRecovery: string(secret.Data[keyFormerRecovery]), Metrics: string(secret.Data[keyMetrics]),
	}
}

// TokenStage is how far the rotation of the tokens in a Secret is.
type TokenStage string

const (
	// TokensSettled means that no server can have been started with others.
	TokensSettled TokenStage = "Settled"
	// TokensComing means that there is a token that is to take the place of the present one.
	TokensComing TokenStage = "Coming"
	// TokensGoing means that there are former ones, which servers may use.
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
	case TokensRevokedIn(secret) == 0:
		return TokensGoing
	}
	return TokensRevoked
}

// TokensMade reports whether the tokens in a Secret were made in Consul.
func TokensMade(secret *corev1.Secret) bool {
	return secret.Annotations[v1alpha1.AnnotationTokensMade] != ""
}

// SetTokensMade takes note of it. The former ones may have come back with a snapshot.
func SetTokensMade(secret *corev1.Secret, now time.Time) {
	if !TokensMade(secret) {
		setAnnotation(secret, v1alpha1.AnnotationTokensMade, now.UTC().Format(time.RFC3339))
	}
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

// SetTokensRevoked takes note that the former tokens have no rights any more, under the leader of a term.
func SetTokensRevoked(secret *corev1.Secret, term uint64) {
	setAnnotation(secret, v1alpha1.AnnotationTokensRevoked, strconv.FormatUint(term, 10))
}

// TokensRevokedIn returns the term in which the former tokens were revoked last; 0 if they were not.
func TokensRevokedIn(secret *corev1.Secret) uint64 {
	term, _ := strconv.ParseUint(secret.Annotations[v1alpha1.AnnotationTokensRevoked], 10, 64)
	return term
}

// SetTokensChanged takes note of when servers get other tokens.
func SetTokensChanged(secret *corev1.Secret, now time.Time) {
	setAnnotation(secret, v1alpha1.AnnotationKeysChanged, now.UTC().Format(time.RFC3339))
}

// AreTokensOf reports whether the present tokens in a Secret follow from a management token.
func AreTokensOf(secret *corev1.Secret, management ManagementTokens) bool {
	return Token(management.Present, RoleOperator).Secret == OperatorTokensOf(secret).Operator
}
