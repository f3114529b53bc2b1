package localcluster

import (
	"slices"
	"strings"
)

// mount is a path of the pod and the directory or file of this machine that stands for it.
type mount struct{ path, target string }

// rewriter replaces the paths of a container's mounts where a text names them: without mount namespaces this is how
// /consul/data reaches a process. The longest path wins, so nested mounts work.
type rewriter []mount

func newRewriter(mounts []mount) rewriter {
	r := rewriter(slices.Clone(mounts))
	slices.SortStableFunc(r, func(a, b mount) int { return len(b.path) - len(a.path) })
	return r
}

// apply looks at each slash that may start a path. What was replaced is not looked at again.
func (r rewriter) apply(text string) string {
	if len(r) == 0 || !strings.Contains(text, "/") {
		return text
	}
	var out strings.Builder
	for i := 0; i < len(text); {
		if text[i] == '/' && (i == 0 || !inPath(text[i-1])) {
			if m, ok := r.at(text[i:]); ok {
				out.WriteString(m.target)
				i += len(m.path)
				continue
			}
		}
		out.WriteByte(text[i])
		i++
	}
	return out.String()
}

func (r rewriter) at(text string) (mount, bool) {
	for _, m := range r {
		if strings.HasPrefix(text, m.path) && endsPath(text[len(m.path):]) {
			return m, true
		}
	}
	return mount{}, false
}

// endsPath tells whether a path may end before rest, or go on below. A dot ends a sentence, or begins a suffix.
func endsPath(rest string) bool {
	if rest == "" || rest[0] == '/' {
		return true
	}
	if rest[0] == '.' {
		return len(rest) == 1 || !inPath(rest[1])
	}
	return !inPath(rest[0])
}

func inPath(b byte) bool {
	return b == '/' || b == '.' || b == '-' || b == '_' ||
		'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9'
}
