package script

import (
	"cmp"
	"encoding/json"
	"math/big"
	"regexp"
	"strconv"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// cutOf splits "condition of command"; the condition may stand in parentheses.
func cutOf(text string) (condition, command string, err error) {
	var quote byte
	for i := range len(text) {
		switch {
		case quote != 0:
			if text[i] == quote {
				quote = 0
			}
		case text[i] == '"' || text[i] == '\'':
			quote = text[i]
		case strings.HasPrefix(text[i:], " of ") || strings.HasPrefix(text[i:], ")of "):
			cut := i
			if text[i] == ')' {
				cut++
			}
			return strings.TrimSpace(text[:cut]), strings.TrimSpace(strings.TrimSpace(text[cut:])[len("of "):]), nil
		}
	}
	if strings.TrimSpace(text) == "" {
		return "", "", problem.Invalid.Errorf("cannot use if without a condition: want if (outcome == success) of COMMAND")
	}
	return strings.TrimSpace(text), "", nil
}

// Evaluate says whether a condition holds for a response. It is made of
// comparisons (== != > < >= <= and ~= for a regular expression) joined by &&
// and ||, && binding closer, and parentheses. The left side is a path into the
// response, result.value or outcome; a path that leads nowhere is undefined,
// and, when it names no member of a response, a text.
func Evaluate(condition string, response any) (bool, error) {
	p := &conditionParser{text: condition, response: response}
	p.tokens, p.err = tokenize(condition)
	value := p.or()
	if p.err == nil && p.at < len(p.tokens) {
		p.fail("unexpected %q", p.tokens[p.at].text)
	}
	return value, p.err
}

type token struct {
	text   string
	quoted bool
}

// operators, the longer first.
var operators = [...]string{"&&", "||", "==", "!=", ">=", "<=", "~=", ">", "<", "(", ")"}

func tokenize(text string) ([]token, error) {
	var tokens []token
next:
	for i := 0; i < len(text); {
		if text[i] == ' ' || text[i] == '\t' {
			i++
			continue
		}
		if c := text[i]; c == '"' || c == '\'' {
			end := strings.IndexByte(text[i+1:], c)
			if end < 0 {
				return nil, problem.Invalid.Errorf("cannot use condition %q: the quote at column %d is not closed", text, i+1)
			}
			tokens = append(tokens, token{text[i+1 : i+1+end], true})
			i += end + 2
			continue
		}
		for _, op := range operators {
			if strings.HasPrefix(text[i:], op) {
				tokens = append(tokens, token{op, false})
				i += len(op)
				continue next
			}
		}
		end := i
		for end < len(text) && !strings.ContainsRune(" \t\"'()=!<>~&|", rune(text[end])) {
			end++
		}
		if end == i {
			return nil, problem.Invalid.Errorf("cannot use condition %q: unexpected %q at column %d", text, text[i:i+1], i+1)
		}
		tokens = append(tokens, token{text[i:end], false})
		i = end
	}
	return tokens, nil
}

type conditionParser struct {
	text     string
	tokens   []token
	at       int
	response any
	err      error
}

func (p *conditionParser) fail(format string, args ...any) bool {
	if p.err == nil {
		p.err = problem.Invalid.Errorf("cannot use condition %q: "+format, append([]any{p.text}, args...)...)
	}
	return false
}

func (p *conditionParser) take(op string) bool {
	if p.err == nil && p.at < len(p.tokens) && !p.tokens[p.at].quoted && p.tokens[p.at].text == op {
		p.at++
		return true
	}
	return false
}

func (p *conditionParser) or() bool {
	value := p.and()
	for p.take("||") {
		right := p.and()
		value = value || right
	}
	return value
}

func (p *conditionParser) and() bool {
	value := p.comparison()
	for p.take("&&") {
		right := p.comparison()
		value = value && right
	}
	return value
}

func (p *conditionParser) comparison() bool {
	if p.take("(") {
		value := p.or()
		if !p.take(")") {
			return p.fail("a parenthesis is not closed")
		}
		return value
	}
	left, ok := p.operand()
	if !ok {
		return p.fail("a comparison is missing")
	}
	for _, op := range operators[2:9] {
		if p.take(op) {
			right, ok := p.operand()
			if !ok {
				return p.fail("nothing follows %s", op)
			}
			return p.compare(p.resolve(left), op, right.text)
		}
	}
	return p.fail("want a comparison (== != > < >= <= ~=) after %q", left.text)
}

func (p *conditionParser) operand() (token, bool) {
	if p.err != nil || p.at >= len(p.tokens) {
		return token{}, false
	}
	t := p.tokens[p.at]
	if !t.quoted {
		for _, op := range operators {
			if t.text == op {
				return token{}, false
			}
		}
	}
	p.at++
	return t, true
}

// resolve gives the text of the left side.
func (p *conditionParser) resolve(t token) string {
	if t.quoted {
		return t.text
	}
	steps := strings.Split(t.text, ".")
	value := p.response
	for i, step := range steps {
		switch v := value.(type) {
		case map[string]any:
			member, ok := v[step]
			if !ok && i == 0 && step != "result" && step != "failure-description" {
				return t.text
			}
			value = member
		case []any:
			n, err := strconv.Atoi(step)
			if err != nil || n < 0 || n >= len(v) {
				return "undefined"
			}
			value = v[n]
		default:
			if i == 0 {
				return t.text
			}
			return "undefined"
		}
	}
	return Text(value)
}

func (p *conditionParser) compare(left, op, right string) bool {
	switch op {
	case "==":
		return left == right
	case "!=":
		return left != right
	case "~=":
		re, err := regexp.Compile("^(?:" + right + ")$")
		if err != nil {
			return p.fail("%w", err)
		}
		return re.MatchString(left)
	}
	order := strings.Compare(left, right)
	if a, ok := new(big.Float).SetString(left); ok {
		if b, ok := new(big.Float).SetString(right); ok {
			order = a.Cmp(b)
		}
	}
	switch op {
	case ">":
		return order > 0
	case "<":
		return order < 0
	case ">=":
		return order >= 0
	default:
		return order <= 0
	}
}

// Text is a value as a variable holds it: a string itself, undefined for null,
// JSON for anything else.
func Text(value any) string {
	switch v := value.(type) {
	case nil:
		return "undefined"
	case string:
		return v
	}
	data, err := json.Marshal(value)
	return cmp.Or(string(data), errorText(err))
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
