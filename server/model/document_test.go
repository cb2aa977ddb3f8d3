package model_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/gatehouse-idp/gatehouse/server/model"
)

// anyJSON draws any JSON value.
func anyJSON(depth int) *rapid.Generator[any] {
	scalars := []*rapid.Generator[any]{
		rapid.Just[any](nil), rapid.Bool().AsAny(), rapid.Int64().AsAny(), rapid.Float64Range(-1e9, 1e9).AsAny(), rapid.String().AsAny(),
		rapid.SampledFrom([]string{"true", "12", "", "x"}).AsAny(),
	}
	if depth == 0 {
		return rapid.OneOf(scalars...)
	}
	return rapid.OneOf(append(scalars,
		rapid.SliceOfN(rapid.Deferred(func() *rapid.Generator[any] { return anyJSON(depth - 1) }), 0, 3).AsAny(),
		rapid.MapOfN(rapid.StringN(0, 4, -1), rapid.Deferred(func() *rapid.Generator[any] { return anyJSON(depth - 1) }), 0, 3).AsAny())...)
}

func TestAnyJSONThatIsReadIsWrittenAgain(t *testing.T) {
	names := []string{"id", "clientId", "enabled", "redirectUris", "attributes", "protocolMappers", "notBefore", "username", "credentials", "clientRoles",
		"realm", "defaultRole", "scopeMappings", "accessTokenLifespan", "composites", "config", "authenticationExecutions", "unknown", "ö<&>"}
	makers := map[string]func() any{
		"realm": func() any { return new(model.Realm) }, "client": func() any { return new(model.Client) }, "user": func() any { return new(model.User) },
		"role": func() any { return new(model.Role) }, "component": func() any { return new(model.Component) }, "flow": func() any { return new(model.Flow) },
	}
	rapid.Check(t, func(t *rapid.T) {
		text, err := json.Marshal(rapid.MapOfN(rapid.SampledFrom(names), anyJSON(3), 0, 8).Draw(t, "object"))
		if err != nil {
			t.Fatal(err)
		}
		for name, fresh := range makers {
			noun := fresh()
			if json.Unmarshal(text, noun) != nil {
				continue // refused, not lost
			}
			back, err := json.Marshal(noun)
			if err != nil {
				t.Fatal(err)
			}
			if !sameJSON(text, back) {
				t.Fatalf("%s: %s became %s", name, text, back)
			}
		}
	})
}

func sameJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

func TestAChangeKeepsTheRest(t *testing.T) {
	client := &model.Client{}
	text := `{"clientId":"a","future":{"x":[1,null]},"enabled":"true","secret":"s","attributes":{"n":7,"null":null,"k":"v"},"protocolMappers":[{"name":"m","odd":1}]}`
	if err := json.Unmarshal([]byte(text), client); err != nil {
		t.Fatal(err)
	}
	shared := model.Clone(client)
	client.Attributes["k"], client.Attributes["new"] = "w", "1"
	client.ProtocolMappers[0].Protocol = "openid-connect"
	client.Secret, client.PublicClient = "", true
	got, err := json.Marshal(client)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"clientId":"a","future":{"x":[1,null]},"enabled":"true","attributes":{"n":7,"null":null,"k":"w","new":"1"},"protocolMappers":[{"name":"m","odd":1,"protocol":"openid-connect"}],"publicClient":true}`
	if !sameJSON([]byte(want), got) {
		t.Errorf("got %s", got)
	}
	if again, _ := json.Marshal(shared); !sameJSON([]byte(text), again) {
		t.Errorf("changing a noun changed its clone: %s", again)
	}
}

func TestEffectiveRolesGoThroughCompositesAndGroups(t *testing.T) {
	in := func(parent string) model.Document { return model.Document{Meta: model.Meta{Parent: parent}} }
	roles := model.NewRoleSet([]*model.Role{
		{Name: "a", Composites: &model.Composites{Realm: []string{"b"}, Client: map[string][]string{"app": {"x"}}}},
		{Name: "b", Composites: &model.Composites{Realm: []string{"a", "gone"}}}, // a circle
		{Name: "x", Document: in("app-id")}, {Name: "c"}, {Name: "d"},
	}, func(id string) string { return map[string]string{"app-id": "app"}[id] })
	groups := model.NewGroups([]*model.Group{
		{ID: "1", Name: "top", RealmRoles: []string{"c"}}, {ID: "2", Name: "in/side", Document: in("1"), RealmRoles: []string{"d"}},
	})
	for _, path := range []string{"/top/in/side", "/top/in~/side"} {
		user := &model.User{RealmRoles: []string{"a"}, Groups: []string{path}}
		got := model.EffectiveRoles(user, roles, groups)
		if len(got) != 5 || got[model.RoleName{Client: "app", Name: "x"}] == nil || got[model.RoleName{Name: "c"}] == nil || got[model.RoleName{Name: "d"}] == nil {
			t.Errorf("%s: %v", path, got)
		}
	}
	if n := len(model.EffectiveRoles(&model.User{Groups: []string{"/nowhere"}}, roles, groups)); n != 0 {
		t.Errorf("%d roles from a group that is not there", n)
	}
}

func TestLifespansHaveKeycloaksDefaults(t *testing.T) {
	got := fmt.Sprintf("%+v", (&model.Realm{SSOSessionIdleTimeout: 60}).Lifespans())
	const want = "{AccessToken:5m0s AccessTokenImplicit:15m0s SSOIdle:1m0s SSOMax:10h0m0s SSOIdleRememberMe:1m0s SSOMaxRememberMe:10h0m0s OfflineIdle:720h0m0s OfflineMax:0s ClientIdle:0s ClientMax:0s ClientOfflineIdle:0s ClientOfflineMax:0s Code:1m0s UserAction:5m0s Login:30m0s ActionTokenByAdmin:12h0m0s ActionTokenByUser:5m0s DeviceCode:10m0s DevicePolling:5s}"
	if got != want {
		t.Errorf("got %s", got)
	}
}
