package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"syscall"
)

// Classes of failures that are no answers of Consul.
const (
	ClassNoEndpoint = "no serving endpoint"
	ClassRefused    = "connection refused"
	ClassReset      = "connection reset"
	ClassClosed     = "connection closed (EOF)"
	ClassTimeout    = "timeout"
)

// ClassTransfer is the one failure that a planned handoff of leadership may cause.
const ClassTransfer = "leadership transfer in progress"

// knownAnswers are parts of Consul's error texts, which otherwise hold addresses and ids.
var knownAnswers = []string{
	ClassTransfer,
	"No cluster leader",
	"leadership lost while committing log",
	"node is not the leader",
	"raft is already shutdown",
	"rpc error getting client",
	"rpc error making call",
	"Permission denied",
}

var variable = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}|\d+(\.\d+){3}(:\d+)?|\[[0-9a-f:]+\](:\d+)?`)

// classifyAnswer is "" for an acknowledged write.
func classifyAnswer(status int, body []byte) string {
	text := strings.TrimSpace(string(body))
	if status == http.StatusOK && text == "true" {
		return ""
	}
	for _, known := range knownAnswers {
		if strings.Contains(text, known) {
			return known
		}
	}
	text = variable.ReplaceAllString(text, "…")
	if len(text) > 80 {
		text = text[:80]
	}
	return fmt.Sprintf("%d %s", status, text)
}

func classifyError(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, errNoEndpoint):
		return ClassNoEndpoint
	case errors.Is(err, syscall.ECONNREFUSED):
		return ClassRefused
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return ClassReset
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return ClassTimeout
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		strings.Contains(err.Error(), "server closed idle connection"),
		strings.Contains(err.Error(), "connection broken"):
		return ClassClosed
	}
	return variable.ReplaceAllString(err.Error(), "…")
}
