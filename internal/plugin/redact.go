package plugin

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// redacted stands for a secret.
const redacted = "REDACTED"

// redactor takes secrets out of texts and objects. A reader who misses something can ask for it; a secret that was sent away is
// known. So it takes what may be one.
type redactor struct {
	// known are the UUIDs that are no secrets: the ids of servers, and the UIDs of objects. A token looks the same.
	known map[string]bool
	// numbers tell the others apart, so that a reader sees which are equal.
	numbers map[string]int
}

func newRedactor() *redactor { return &redactor{known: map[string]bool{}, numbers: map[string]int{}} }

// know has UUIDs stay readable.
func (r *redactor) know(ids ...string) {
	for _, id := range ids {
		if uuids.FindString(id) == id && id != "" {
			r.known[strings.ToLower(id)] = true
		}
	}
}

// rule replaces what it matches; the groups that its template names stay.
type rule struct {
	// hints are words in lower case, one of which is in whatever it matches, so that most texts need not be searched.
	hints    string
	pattern  *regexp.Regexp
	template string
}

var (
	// A key may have lost its first or its last lines: logs are read from their end.
	privateKeys = []rule{
		{"private key", regexp.MustCompile(`-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?s:.*?)` +
			`(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\z)`), redacted},
		{"private key", regexp.MustCompile(`(?:[A-Za-z0-9+/=]{16,}(?:\s|\\[nr])*)*[A-Za-z0-9+/=]*(?:\s|\\[nr])*` +
			`-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----`), redacted},
	}
	// marked are what is known by a mark of its own (keys of age, JSON web tokens, those of Amazon, GitHub, GitLab, Slack, Google
	// and Vault, licenses of HashiCorp, hashes of passwords), or by what stands before it.
	marked = []rule{
		{"tokens|credentials|passwords|ca_config", regexp.MustCompile(
			`(?i)((?:tokens|credentials|passwords|ca_config)\\*["']?\s*[:=]?\s*\{)[^}]*`),
			"${1}" + redacted},
		{"age-", regexp.MustCompile(`(?i)AGE-(?:SECRET-KEY|PLUGIN)-[A-Z0-9-]+`), redacted},
		{"eyj", regexp.MustCompile(`eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)*`), redacted},
		{"akia|asia|abia|acca", regexp.MustCompile(`(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,}`), redacted},
		{"gh|github_", regexp.MustCompile(`\bgh[opusr]_[A-Za-z0-9]{16,}|\bgithub_pat_\w{16,}`), redacted},
		{"glpat-|xox|aiza", regexp.MustCompile(`\bglpat-[\w-]{16,}|\bxox[a-z]-[\w-]{10,}|\bAIza[\w-]{30,}`), redacted},
		{"ya29.|sg.|sk-", regexp.MustCompile(`\bya29\.[\w-]+|\bSG\.[\w-]{10,}\.[\w-]{10,}|\bsk-[\w-]{20,}`), redacted},
		{"hvs.|hvb.|hvr.", regexp.MustCompile(`\bhv[sbr]\.[\w-]{16,}`), redacted},
		{"02mv4uu43bk5", regexp.MustCompile(`02MV4UU43BK5[A-Z0-9]+`), redacted},
		{"$", regexp.MustCompile(`(?i)\$(?:argon2\w*|2[abxy]|[156]|y|7)\$[\w./,=$+-]{8,}`), redacted},
		{"://", regexp.MustCompile(`(?i)([a-z][a-z0-9+.-]*://)[^\s/?#"']+@`), "${1}" + redacted + "@"},
		{"-u|--user|--proxy-user", regexp.MustCompile(`(?i)((?:^|\s)(?:-u|--user|--proxy-user)[ =]\\*["']?)[^\s:"']+:[^\s"']+`),
			"${1}" + redacted},
		{"authorization", regexp.MustCompile(`(?i)(authorization\\*["']?\s*[:=]\s*\[?\\*["']?)[^"'\n\]\\]+`), "${1}" + redacted},
		{"bearer", regexp.MustCompile(`(?i)(bearer\s+)[A-Za-z0-9._~+/=-]{4,}`), "${1}" + redacted},
		{"passphrase|password", regexp.MustCompile(`(?i)((?:passphrase|passwords?)\s*[:=]\s*)[^"'\n\\]+`), "${1}" + redacted},
		{"token|password|passphrase|secretid", regexp.MustCompile(
			`(?i)\b((?:token|password|passphrase|secretid)s?\s+(?:is\s+)?\\*["'])[^"']+`), "${1}" + redacted},
		{"encrypt|\"key", regexp.MustCompile(`(?i)((?:encrypt|"key")\\*["']?\s*[:=]\s*\\*["'])[^"'\\]+`), "${1}" + redacted},
		{"-encrypt", regexp.MustCompile(`(?i)(\s--?encrypt[ =]\\*["']?)[^\s"'\\]+`), "${1}" + redacted},
	}
	secretWords = `(?:token|secret|passw(?:or)?d|passphrase|credential|` +
		`(?:api|access|private|account|gossip|encrypt(?:ion)?)[ _-]?key)`
	secretHints = "token|secret|passw|passphrase|credential|key"
	// bySecretName is a key, what separates it, and its value: quoted, quoted in a text that is quoted itself, a list, or a word.
	bySecretName = regexp.MustCompile(`(?i)([\w.-]*` + secretWords + `[\w-]*)(\\*["']?\s*[:=]\s*)` +
		`("(?:[^"\\]|\\.)*"?|\\+"[^"]*"?|'[^']*'?|\[[^\]]*\]?|[^\s"'{\[][^\s"']*)`)
	flagged = regexp.MustCompile(`(?i)(--?[\w-]*` + secretWords + `[\w-]*)(\s+)(\\*["']?)([^\s"'\\-][^\s"'\\]*)`)
	uuids   = regexp.MustCompile(`(?i)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	// harmless ends the keys of what only says where a secret is.
	harmless = regexp.MustCompile(`(?i)(?:names?|refs?|_?files?|_?dirs?|paths?|seconds)$`)
)

// text takes secrets out of a text.
func (r *redactor) text(text string) string { return r.line(apply(privateKeys, text)) }

// line takes secrets out of a text, but for what has many lines.
func (r *redactor) line(text string) string {
	text = apply(marked, text)
	if hasAny(strings.ToLower(text), secretHints) {
		text = substituted(bySecretName, text, func(g []string) string {
			if harmless.MatchString(g[1]) || strings.HasPrefix(g[3], redacted) {
				return g[0]
			}
			return g[1] + g[2] + quotedLike(g[3])
		})
		text = substituted(flagged, text, func(g []string) string {
			if harmless.MatchString(g[1]) || strings.HasPrefix(g[4], redacted) {
				return g[0]
			}
			return g[1] + g[2] + g[3] + redacted
		})
	}
	return r.words(text)
}

// words takes out what looks random: words are told apart by hand, since expressions that count are slow.
func (r *redactor) words(text string) string {
	var b strings.Builder
	for text != "" {
		length := 0
		for length < len(text) && isWord(text[length]) {
			length++
		}
		padded := length
		for padded < len(text) && text[padded] == '=' {
			padded++
		}
		b.WriteString(r.word(text[:length], text[length:padded]))
		if padded == 0 {
			padded = 1
			b.WriteByte(text[0])
		}
		text = text[padded:]
	}
	return b.String()
}

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '+' || c == '/' || c == '_' || c == '-'
}

// word returns a word, without what may be a secret. Padding is what base64 ends with.
func (r *redactor) word(word, padding string) string {
	switch length := len(word); {
	case length >= 22 && padding == "==" && isMixed(word, 1, 0), length >= 43 && padding == "=" && isMixed(word, 1, 0):
		return redacted
	case length >= 36 && uuids.MatchString(word):
		return r.ids(word) + padding
	case length >= 32 && isMixed(word, 3, 1):
		return redacted + padding
	}
	return word + padding
}

func apply(rules []rule, text string) string {
	lower := strings.ToLower(text)
	for _, one := range rules {
		if hasAny(lower, one.hints) {
			text = one.pattern.ReplaceAllString(text, one.template)
		}
	}
	return text
}

// hasAny reports whether a text has one of some words, which bars separate.
func hasAny(text, words string) bool {
	return slices.ContainsFunc(strings.Split(words, "|"), func(word string) bool { return strings.Contains(text, word) })
}

// ids replaces the UUIDs that are not known to be harmless by numbers.
func (r *redactor) ids(text string) string {
	return uuids.ReplaceAllStringFunc(text, func(found string) string {
		id := strings.ToLower(found)
		if r.known[id] {
			return found
		}
		if _, seen := r.numbers[id]; !seen {
			r.numbers[id] = len(r.numbers) + 1
		}
		return fmt.Sprintf("%s-UUID-%d", redacted, r.numbers[id])
	})
}

// substituted has each match replaced by what is made of its groups.
func substituted(pattern *regexp.Regexp, text string, by func(groups []string) string) string {
	return pattern.ReplaceAllStringFunc(text, func(found string) string { return by(pattern.FindStringSubmatch(found)) })
}

// quotedLike is REDACTED in the quotes that a value has.
func quotedLike(value string) string {
	quote := value[:len(value)-len(strings.TrimLeft(value, `\"'[`))]
	end := value[len(strings.TrimRight(value, `\"']`)):]
	if quote == "" {
		end = ""
	}
	return quote + redacted + end
}

// isMixed reports whether a word has upper and lower case letters and digits, as what is random has, and names have not.
func isMixed(word string, letters, digits int) bool {
	upper, lower, numbers := 0, 0, 0
	for _, c := range word {
		switch {
		case unicode.IsUpper(c):
			upper++
		case unicode.IsLower(c):
			lower++
		case unicode.IsDigit(c):
			numbers++
		}
	}
	return upper >= letters && lower >= letters && numbers >= digits
}
