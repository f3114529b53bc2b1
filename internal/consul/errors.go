package consul

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/hashicorp/consul/api"
)

// What went wrong, for errors.Is. An error that is none of these was answered by Consul, and means no.
var (
	// ErrNoLeader : the server knows no leader; nothing was changed. Consul looks for one for more than 7 s before it
	// says so (measured: 8 to 13 s), so a call of 2 s is ErrUnanswered first, and the request may be applied by a leader
	// that is found meanwhile. Whether there is a leader, Self tells at once.
	ErrNoLeader = errors.New("no cluster leader")
	// ErrTransferInProgress : leadership is moving right now; nothing was changed, try again in a moment.
	ErrTransferInProgress = errors.New("leadership transfer in progress")
	// ErrNotFound : Consul does not know the peer or member that was named.
	ErrNotFound = errors.New("not found")
	// ErrForbidden : the ACL token does not allow it.
	ErrForbidden = errors.New("forbidden by Consul ACLs")
	// ErrUnanswered : the request was sent and not answered (timeout, EOF, reset), so it may have been applied.
	ErrUnanswered = errors.New("no answer, the request may have been applied")
	// ErrUnreachable : no connection to the agent, so the request was certainly not applied.
	ErrUnreachable = errors.New("agent unreachable")
	// ErrConflict : somebody else kept changing the same object.
	ErrConflict = errors.New("changed by somebody else")
)

// errStrange is an answer that no Consul agent gives.
var errStrange = errors.New("not an answer of a Consul agent")

// maxErrorText bounds what an agent can put into an error: these texts end up in conditions and events.
const maxErrorText = 300

// callError says which call to which agent failed, and how.
type callError struct {
	text string
	is   []error
}

func (e *callError) Error() string   { return e.text }
func (e *callError) Unwrap() []error { return e.is }

// newCallError classifies what a call returned. The token is cut out of the text, wherever it may come from (an agent
// may echo a header), and then the cause is not kept either, since it has the same text.
func newCallError(call, address, token string, sent bool, cause error) error {
	kind := classify(cause, sent)
	reason := describe(cause)
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
	if token != "" && (strings.Contains(e.text, token) || strings.Contains(cause.Error(), token)) {
		e.text = strings.ReplaceAll(e.text, token, "<token>")
		return e
	}
	e.is = append(e.is, cause)
	return e
}

// describe is the cause in as few words as possible; the method and URL that net/http adds are known already.
func describe(err error) string {
	text := err.Error()
	var status api.StatusError
	var inner interface{ Unwrap() error }
	switch {
	case errors.As(err, &status):
		text = fmt.Sprintf("%d %s", status.Code, status.Body)
		if status.Code == http.StatusInternalServerError {
			text = status.Body
		}
	case errors.Is(err, context.DeadlineExceeded):
		text = "timed out"
	case errors.As(err, &inner) && inner.Unwrap() != nil:
		text = inner.Unwrap().Error()
	}
	text = strings.TrimSpace(text)
	if len(text) > maxErrorText {
		text = strings.ToValidUTF8(text[:maxErrorText], "") + "…"
	}
	return text
}

// classify names the error. sent is whether a connection was there to write the request to.
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
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax), errors.As(err, &kind):
		return errStrange
	case sent || errors.Is(err, io.ErrUnexpectedEOF):
		return ErrUnanswered
	default:
		return ErrUnreachable
	}
}

// The texts of Consul's answers. It has one status, 500, for most of what goes wrong. Measured unless noted.
var statusTexts = []struct {
	text string
	kind error
}{
	{"No cluster leader", ErrNoLeader},
	{"leadership transfer in progress", ErrTransferInProgress},
	// These come from Raft and from a server that forwarded the request to the leader; the entry may be in the log
	// (from the source of hashicorp/raft and net-rpc, where they are made).
	{"leadership lost while committing log", ErrUnanswered},
	{"rpc error making call: EOF", ErrUnanswered},
	{"rpc error making call: i/o deadline reached", ErrUnanswered},
	{"node is not the leader", ErrNoLeader},
	{"Could not find address for server id", ErrNotFound},    // transfer-leader
	{"was not found in the Raft configuration", ErrNotFound}, // raft/peer
	{"No node found with name", ErrNotFound},                 // force-leave
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
