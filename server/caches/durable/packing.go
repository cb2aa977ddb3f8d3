package durable

import "strings"

// words are what every session's JSON repeats, as its fields follow one another;
// of two that begin alike the longer one is first. A packed session has the byte
// 1 in place of the first, 2 for the second and so on: no JSON text holds such
// bytes. Servers of two versions share the entries, so a change of the list needs
// another kind of entry.
var words = [...]string{
	`{"userId":"`,
	`","loginUsername":"`,
	`","ipAddress":"`,
	`","authMethod":"openid-connect","state":"LOGGED_IN","started":`,
	`","authMethod":"openid-connect`,
	`,"state":"LOGGED_IN","started":`,
	`,"lastAccess":`,
	`,"expires":`,
	`,"notes":{"AUTH_TIME":"`,
	`"},"clients":{"`,
	`":{"redirectUri":"https://`,
	`":{"redirectUri":"`,
	`":{"protocol":"openid-connect","started":`,
	`","protocol":"openid-connect","started":`,
	`,"notes":{"client_id":"`,
	`,"notes":{"scope":"openid`,
	`,"notes":{"`,
	`","client_id":"`,
	`","code_challenge":"`,
	`","code_challenge_method":"S256`,
	`","nonce":"`,
	`","redirect_uri":"https://`,
	`","redirect_uri":"`,
	`","response_type":"code","scope":"openid`,
	`","scope":"openid`,
	`","state":"`,
	`","refresh.`,
	` email profile`,
	`":"`,
	`","`,
	`"}}}}`,
}

// pack shortens a session's JSON, and unpack gives it back.
var pack, unpack = packing()

func packing() (pack, unpack *strings.Replacer) {
	var there, back []string
	for i, word := range words {
		short := string(rune(i + 1))
		there, back = append(there, word, short), append(back, short, word)
	}
	return strings.NewReplacer(there...), strings.NewReplacer(back...)
}
