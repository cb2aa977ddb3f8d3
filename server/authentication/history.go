package authentication

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"github.com/gatehouse-idp/gatehouse/server/authentication/passwords"
	"github.com/gatehouse-idp/gatehouse/server/model"
)

// repeats reports a password that is one of the user's last ones.
func (a *Accounts) repeats(ctx context.Context, policy passwords.Policy, u *model.User, password string) (*passwords.Violation, error) {
	if policy.History <= 0 {
		return nil, nil //nolint:nilnil // no violation, no error
	}
	for _, c := range recent(u.Credentials, policy.History) {
		h, err := hashOf(&c)
		if err != nil {
			continue // what cannot be verified cannot be repeated
		}
		same, err := a.hasher.Verify(ctx, h, password)
		if err != nil {
			return nil, err
		}
		if same {
			return &passwords.Violation{Message: "invalidPasswordHistoryMessage", Arguments: []string{strconv.Itoa(policy.History)}}, nil
		}
	}
	return nil, nil //nolint:nilnil // no violation, no error
}

// recent is the present password and the newest earlier ones, n in all.
func recent(all []model.Credential, n int) []model.Credential {
	var list []model.Credential
	for _, c := range all {
		if c.Type == passwordType || c.Type == passwordHistory {
			list = append(list, c)
		}
	}
	slices.SortStableFunc(list, func(x, y model.Credential) int {
		if x.Type != y.Type {
			if x.Type == passwordType {
				return -1
			}
			return 1
		}
		return cmp.Compare(y.CreatedDate, x.CreatedDate)
	})
	return list[:min(n, len(list))]
}

// replaced is a user's credentials with a new password; of the earlier ones
// those stay that the policy still compares with.
func replaced(all []model.Credential, fresh model.Credential, history int) []model.Credential {
	var kept []model.Credential
	for _, c := range all {
		if c.Type != passwordType && c.Type != passwordHistory {
			kept = append(kept, c)
		}
	}
	for _, c := range recent(all, max(0, history-1)) {
		c.Type = passwordHistory
		kept = append(kept, c)
	}
	return append([]model.Credential{fresh}, kept...)
}

func without(list []string, gone string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == gone })
}
