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
	// hints are words in lower case, one of which is in whatever it matches, so that most texts need not be searched; empty for none.
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
	// marked are what is known by a mark of its own, or by what stands before it.
	marked = []rule{
		{"{", regexp.MustCompile(`(?i)((?:tokens|credentials|passwords|ca_config)\\*["']?\s*[:=]?\s*\{)[^}]*`), "${1}" + redacted},
		{"age-", regexp.MustCompile(`(?i)AGE-(?:SECRET-KEY|PLUGIN)-[A-Z0-9-]+`), redacted},
		{"eyj", regexp.MustCompile(`eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)*`), redacted}, // JSON web tokens
		{"akia asia abia acca", regexp.MustCompile(`(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,}`), redacted},   // Amazon
		{"gh github_", regexp.MustCompile(`\bgh[opusr]_[A-Za-z0-9]{16,}|\bgithub_pat_\w{16,}`), redacted},
		{"glpat- xox aiza", regexp.MustCompile(`\bglpat-[\w-]{16,}|\bxox[a-z]-[\w-]{10,}|\bAIza[\w-]{30,}`), redacted}, // GitLab, Slack, Google
		{"ya29. sg. sk-", regexp.MustCompile(`\bya29\.[\w-]+|\bSG\.[\w-]{10,}\.[\w-]{10,}|\bsk-[\w-]{20,}`), redacted},
		{"hvs. hvb. hvr. s. b. r.", regexp.MustCompile(`\bhv[sbr]\.[\w-]{16,}|\b[sbr]\.[A-Za-z0-9]{24,}`), redacted}, // Vault
		{"02mv4uu43bk5", regexp.MustCompile(`02MV4UU43BK5[A-Z0-9]+`), redacted},                                      // licenses of HashiCorp
		{"$", regexp.MustCompile(`(?i)\$(?:argon2\w*|2[abxy]|[156]|y|7)\$[\w./,=$+-]{8,}`), redacted},                // hashes of passwords
		{"://", regexp.MustCompile(`(?i)([a-z][a-z0-9+.-]*://)[^\s/?#"']+@`), "${1}" + redacted + "@"},
		{"-u --user --proxy-user", regexp.MustCompile(`(?i)((?:^|\s)(?:-u|--user|--proxy-user)[ =]\\*["']?)[^\s:"']+:[^\s"']+`),
			"${1}" + redacted},
		{"authorization", regexp.MustCompile(`(?i)(authorization\\*["']?\s*[:=]\s*\[?\\*["']?)[^"'\n\]\\]+`), "${1}" + redacted},
		{"bearer", regexp.MustCompile(`(?i)(bearer\s+)[A-Za-z0-9._~+/=-]{4,}`), "${1}" + redacted},
		{"passphrase password", regexp.MustCompile(`(?i)((?:passphrase|passwords?)\s*[:=]\s*)[^"'\n\\]+`), "${1}" + redacted}, // blanks too
		{"token password passphrase secretid", regexp.MustCompile(
			`(?i)\b((?:token|password|passphrase|secretid)s?\s+(?:is\s+)?\\*["'])[^"']+`), "${1}" + redacted},
		{"encrypt \"key", regexp.MustCompile(`(?i)((?:encrypt|"key")\\*["']?\s*[:=]\s*\\*["'])[^"'\\]+`), "${1}" + redacted},
		{"-encrypt", regexp.MustCompile(`(?i)(\s--?encrypt[ =]\\*["']?)[^\s"'\\]+`), "${1}" + redacted},
	}
	secretWords = `(?:token|secret|passw(?:or)?d|passphrase|credential|(?:api|access|private|account|gossip|encrypt(?:ion)?)[ _-]?key)`
	secretHints = "token secret passw passphrase credential key"
	// named is a key, what separates it, and its value: quoted, quoted in a text that is quoted itself, a list, or a word.
	named = regexp.MustCompile(`(?i)([\w.-]*` + secretWords + `[\w-]*)(\\*["']?\s*[:=]\s*)` +
		`("(?:[^"\\]|\\.)*"?|\\+"[^"]*"?|'[^']*'?|\[[^\]]*\]?|[^\s"'{\[][^\s"']*)`)
	flagged = regexp.MustCompile(`(?i)(--?[\w-]*` + secretWords + `[\w-]*)(\s+)(\\*["']?)([^\s"'\\-][^\s"'\\]*)`)
	padded  = regexp.MustCompile(`[A-Za-z0-9+/_-]{22,}==|[A-Za-z0-9+/_-]{43,}=`)
	random  = regexp.MustCompile(`[A-Za-z0-9+/_-]{32,}`)
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
		text = replaced(named, text, func(g []string) string {
			if harmless.MatchString(g[1]) || strings.HasPrefix(g[3], redacted) {
				return g[0]
			}
			return g[1] + g[2] + quotedLike(g[3])
		})
		text = replaced(flagged, text, func(g []string) string {
			if harmless.MatchString(g[1]) || strings.HasPrefix(g[4], redacted) {
				return g[0]
			}
			return g[1] + g[2] + g[3] + redacted
		})
	}
	text = padded.ReplaceAllStringFunc(text, func(found string) string { return unless(!isMixed(found, 1, 0), found) })
	text = r.ids(text)
	return random.ReplaceAllStringFunc(text, func(found string) string {
		return unless(!isMixed(found, 3, 1) || uuids.MatchString(found), found)
	})
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

// hasAny reports whether a text has one of some words.
func hasAny(text, words string) bool {
	if strings.HasPrefix(words, "private key") { // the only one that has a blank in it
		return strings.Contains(text, "private key")
	}
	return slices.ContainsFunc(strings.Fields(words), func(word string) bool { return strings.Contains(text, word) })
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

// replaced replaces each match by what is made of its groups.
func replaced(pattern *regexp.Regexp, text string, by func(groups []string) string) string {
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

// unless is what was found, if that is harmless.
func unless(isHarmless bool, found string) string {
	if isHarmless {
		return found
	}
	return redacted
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
