package consul

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/consul-operator/consul-operator/internal/pki"
)

// Kinds of errors, for errors.Is. An error of no such kind is a negative answer from Consul.
var (
	// ErrNoLeader means that the server knows no leader and nothing was changed. Consul searches for a leader for more than
	// 7 s before it answers this (measured: 8 to 13 s), so a call of 2 s returns ErrUnanswered first, and a leader that is
	// found meanwhile may apply the request. Self tells at once whether there is a leader.
	ErrNoLeader = errors.New("no cluster leader")
	// ErrTransferInProgress means that leadership is moving right now and nothing was changed. Try again in a moment.
	ErrTransferInProgress = errors.New("leadership transfer in progress")
	// ErrNotFound means that Consul does not know the named peer or member.
	ErrNotFound = errors.New("not found")
	// ErrNoKey means that gossip is not encrypted, or that a member has no key.
	ErrNoKey = errors.New("without a gossip key")
	// ErrForbidden means that the ACL token does not allow the call.
	ErrForbidden = errors.New("forbidden by Consul ACLs")
	// ErrFiltered means that ACLs may have hidden a part of a list: what is not in it proves nothing.
	ErrFiltered = errors.New("filtered by Consul ACLs")
	// ErrUnanswered means that the request was sent but not answered (timeout, EOF, reset), so it may have been applied.
	ErrUnanswered = errors.New("no answer, the request may have been applied")
	// ErrUntrusted means that the server at the address does not prove that it is one of the cluster: nothing was sent to it.
	ErrUntrusted = errors.New("its certificate is not believed")
	// ErrUnreachable means that there was no connection to the agent, so the request was certainly not applied.
	ErrUnreachable = errors.New("agent unreachable")
	// ErrConflict means that somebody else kept changing the same object.
	ErrConflict = errors.New("changed by somebody else")
)

// errStrange is an answer that no Consul agent would give.
var errStrange = errors.New("not an answer from a Consul agent")

// maxErrorText limits how much an agent can put into an error, since these texts end up in conditions and events.
const maxErrorText = 300

// callError reports which call to which agent failed, and how.
type callError struct {
	text string
	is   []error
}

func (e *callError) Error() string   { return e.text }
func (e *callError) Unwrap() []error { return e.is }

// newCallError classifies the error of a call.
func newCallError(call, address string, sent bool, cause error) error {
	kind := classify(cause, sent)
	reason := describe(cause)
	if kind != nil {
		reason = strings.TrimPrefix(reason, kind.Error()+": ")
	}
	e := &callError{}
	switch {
	case kind == nil:
		e.text = fmt.Sprintf("%s on %s: %s", call, address, reason)
	case reason == "" || strings.EqualFold(reason, kind.Error()):
		e.text = fmt.Sprintf("%s on %s: %v", call, address, kind)
	default:
		e.text = fmt.Sprintf("%s on %s: %v: %s", call, address, kind, reason)
	}
	if kind != nil {
		e.is = append(e.is, kind)
	}
	e.is = append(e.is, cause)
	return e
}

// conceal removes a token from the text of a call's error, wherever it comes from (an agent may echo a header). Then it also
// drops the causes with the same text.
func conceal(err error, token string) error {
	var e *callError
	if token == "" || !errors.As(err, &e) {
		return err
	}
	has := func(cause error) bool { return strings.Contains(cause.Error(), token) }
	return &callError{strings.ReplaceAll(e.text, token, "<token>"), slices.DeleteFunc(slices.Clone(e.is), has)}
}

// describe returns the cause in as few words as possible, without the method and URL that net/http adds.
func describe(err error) string {
	text := err.Error()
	var status api.StatusError
	var tooLong *http.MaxBytesError
	var inner *url.Error
	switch {
	case errors.As(err, &tooLong):
		text = fmt.Sprintf("it is longer than %d bytes", tooLong.Limit)
	case errors.As(err, &status):
		text = fmt.Sprintf("%d %s", status.Code, status.Body)
		if status.Code == http.StatusInternalServerError {
			text = status.Body
		}
	case errors.Is(err, context.DeadlineExceeded):
		text = "timed out"
	case errors.As(err, &inner):
		text = inner.Err.Error()
	}
	text = strings.TrimSpace(text)
	if len(text) > maxErrorText {
		text = strings.ToValidUTF8(text[:maxErrorText], "") + "…"
	}
	return text
}

// classify returns the kind of an error. sent is whether there was a connection to write the request to.
func classify(err error, sent bool) error {
	var status api.StatusError
	if errors.As(err, &status) {
		return classifyStatus(status)
	}
	for _, known := range []error{ErrNotFound, ErrConflict, errStrange} {
		if errors.Is(err, known) {
			return known
		}
	}
	var tooLong *http.MaxBytesError
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.Is(err, pki.ErrUnproven):
		return ErrUntrusted
	case errors.As(err, &syntax), errors.As(err, &kind), errors.As(err, &tooLong):
		return errStrange
	case sent || errors.Is(err, io.ErrUnexpectedEOF):
		return ErrUnanswered
	default:
		return ErrUnreachable
	}
}

// The texts of Consul's answers, which have status 500 for most failures. Measured unless noted.
var statusTexts = []struct {
	text string
	kind error
}{
	{"No cluster leader", ErrNoLeader},
	{"leadership transfer in progress", ErrTransferInProgress},
	// These come from Raft and from a server that forwarded the request to the leader; the entry may be in the log (according
	// to the source of hashicorp/raft and net-rpc).
	{"leadership lost while committing log", ErrUnanswered},
	{"rpc error making call: EOF", ErrUnanswered},
	{"rpc error making call: i/o deadline reached", ErrUnanswered},
	{"node is not the leader", ErrNoLeader},
	{"Could not find address for server id", ErrNotFound},    // transfer-leader
	{"was not found in the Raft configuration", ErrNotFound}, // raft/peer
	{"No node found with name", ErrNotFound},                 // force-leave
	{"Keyring is empty", ErrNoKey},                           // keyring; it names the members
	{"Permission denied", ErrForbidden},                      // as a 403; 500 when a server forwarded the request
	{"ACL not found", ErrForbidden},                          // the same
	{"rpc error making call: ACL not found", ErrForbidden},   // the same
}

func classifyStatus(status api.StatusError) error {
	if status.Code == http.StatusForbidden {
		return ErrForbidden
	}
	for _, known := range statusTexts {
		if strings.Contains(status.Body, known.text) {
			return known.kind
		}
	}
	return nil
}
