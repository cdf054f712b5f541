package plan

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"fetchmail/rcfile"
)

// TestEveryOptionIsReadOrIgnoredForAReason keeps an option from being accepted and forgotten: each field that the
// language fills in is read here or by the command, or stands in the list of those that change nothing.
func TestEveryOptionIsReadOrIgnoredForAReason(t *testing.T) {
	read := map[string]bool{}
	for _, dir := range []string{".", "../../cmd/fetchmail"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%d files in %s, %v", len(files), dir, err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					read[s.Sel.Name] = true
				}
				return true
			})
		}
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[rcfile.Config](), reflect.TypeFor[rcfile.Server](), reflect.TypeFor[rcfile.User]()} {
		for _, f := range reflect.VisibleFields(typ) {
			why, skip := ignored[f.Name]
			switch {
			case !f.IsExported():
			case read[f.Name] && skip:
				t.Errorf("%s.%s is read although it is listed as ignored (%s)", typ.Name(), f.Name, why)
			case !read[f.Name] && !skip:
				t.Errorf("%s.%s is accepted, but nobody reads it", typ.Name(), f.Name)
			}
		}
	}
}
