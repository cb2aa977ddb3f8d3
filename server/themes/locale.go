package themes

import (
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"

	"golang.org/x/text/language"
	"golang.org/x/text/language/display"

	"github.com/gatehouse-idp/gatehouse/server/model"
)

const (
	localeCookie    = "KEYCLOAK_LOCALE"
	localeParameter = "kc_locale"
	fallbackLocale  = "en"
)

// Locale is a language offered on a page.
type Locale struct {
	Tag, Label, URL string
	Current         bool
}

// supported is the languages of a realm, the default first.
func supported(realm *model.Realm) []string {
	if realm == nil {
		return []string{fallbackLocale, "de"}
	}
	if !realm.InternationalizationEnabled {
		return []string{fallbackLocale}
	}
	first := realm.DefaultLocale
	if first == "" {
		first = fallbackLocale
	}
	all := []string{first}
	for _, tag := range slices.Sorted(slices.Values(realm.SupportedLocales)) {
		if tag != first {
			all = append(all, tag)
		}
	}
	return all
}

// choose is the language of a page, in Keycloak's order: the one just picked,
// the application's ui_locales, the user's own, the cookie, the browser's.
func choose(r *http.Request, supported []string, own string) (tag string, picked bool) {
	if asked := r.URL.Query().Get(localeParameter); slices.Contains(supported, asked) {
		return asked, true
	}
	wishes := strings.Fields(r.URL.Query().Get("ui_locales"))
	wishes = append(wishes, strings.Fields(own)...)
	if c, err := r.Cookie(localeCookie); err == nil {
		wishes = append(wishes, c.Value)
	}
	for _, wish := range wishes {
		if slices.Contains(supported, wish) {
			return wish, false
		}
		if short, _, more := strings.Cut(wish, "-"); more && slices.Contains(supported, short) {
			return short, false
		}
	}
	tags := make([]language.Tag, 0, len(supported))
	for _, s := range supported {
		tags = append(tags, language.Make(s))
	}
	accepted, _, err := language.ParseAcceptLanguage(r.Header.Get("Accept-Language"))
	if err != nil || len(accepted) == 0 {
		return supported[0], false
	}
	_, i, confidence := language.NewMatcher(tags).Match(accepted...)
	if confidence == language.No {
		i = 0
	}
	return supported[i], false
}

// offer lists the languages as links to the same page.
func offer(r *http.Request, supported []string, current string) []Locale {
	if len(supported) < 2 || r.Method != http.MethodGet {
		return nil
	}
	list := make([]Locale, 0, len(supported))
	for _, tag := range supported {
		u := *r.URL
		q := u.Query()
		q.Set(localeParameter, tag)
		list = append(list, Locale{Tag: tag, Label: label(tag), URL: "?" + q.Encode(), Current: tag == current})
	}
	return list
}

func label(tag string) string {
	if name := display.Self.Name(language.Make(tag)); name != "" {
		return name
	}
	return tag
}

// text is a message in a language: the realm's own, then the theme's and its
// parents', then the same in English; found is false for a key without a text.
func (l *look) text(realm *model.Realm, locale, key string) (text string, found bool) {
	for _, tag := range []string{locale, fallbackLocale} {
		if realm != nil {
			if t, ok := realm.LocalizationTexts[tag][key]; ok {
				return t, true
			}
		}
		if t, ok := l.messages(tag)[key]; ok {
			return t, true
		}
	}
	return "", false
}

// messages merges a language's files along the chain; account and welcome pages
// speak with the login pages' texts and add their own.
func (l *look) messages(locale string) map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m := l.texts[locale]; m != nil {
		return m
	}
	m := map[string]string{}
	name := "messages_" + strings.ReplaceAll(locale, "-", "_") + ".properties"
	if !fs.ValidPath(name) || strings.Contains(name, "/") {
		return m
	}
	for i := len(l.chain) - 1; i >= 0; i-- {
		for _, dir := range slices.Compact([]string{common, Login, l.kind}) {
			data, err := fs.ReadFile(l.chain[i].files, path.Join(dir, "messages", name))
			if err != nil {
				continue // not translated here
			}
			for k, v := range parseProperties(data) {
				m[k] = v
			}
		}
	}
	l.texts[locale] = m
	return m
}
