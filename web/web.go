// Package web holds the assets of the pages that people see: templates, styles,
// images and texts, embedded. It has no logic and knows nothing of who serves
// them.
package web

import "embed"

// Themes has a directory for each theme that is built in; in it one for each
// type of page (login, account, welcome) and "common" for what all share.
//
//go:embed all:themes
var Themes embed.FS

// Console has the domain console: a template for each page, layout.html for what
// all share, and console.css and console.js.
//
//go:embed all:console
var Console embed.FS
