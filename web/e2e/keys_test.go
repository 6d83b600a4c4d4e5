package e2e

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/chromedp/chromedp/kb"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/gen/transfers/v1/transfersv1connect"
)

// disabled waits until a thing is there and can be reached, but does nothing, for a reason that a
// screen reader reads out.
func (p *page) disabled(w thing, reason string) {
	p.t.Helper()
	p.wait(w.String()+" that is disabled", func(ctx context.Context) (bool, error) {
		got, err := callOn[string](ctx, w, `function () {
			const reason = document.getElementById(this.getAttribute("aria-describedby") ?? "");
			return this.ariaDisabled === "true" && !this.disabled ? (reason?.textContent ?? "") : "it is enabled";
		}`)
		if got != reason {
			return false, fmt.Errorf("it says %q", got)
		}
		return true, err
	})
}

// TestSignInViewer: what a viewer may not do is disabled and says why; what they may not read is
// not offered.
func TestSignInViewer(t *testing.T) {
	s := serveKeys(t)
	viewer := s.key(t, "viewer")
	account := s.account(t, "Ada Lovelace", "100")
	p := newSignedOutPage(t, s.address)
	p.open("/accounts/" + account)
	p.signIn(viewer)
	p.has(heading("Ada Lovelace"))
	p.disabled(button("Freeze"), "Needs the permissions accounts.write and accounts.policy")
	p.disabled(button("Edit limits and policy"), "Needs the permissions accounts.write and accounts.policy")
	p.disabled(button("Edit profile"), "Needs the permission accounts.write")
	p.hasNo(pageLink("Keys"))
	p.hasNo(pageLink("Webhooks"))
	p.click(pageLink("Schedules"))
	p.disabled(button("New schedule"), "Needs the permissions schedules.write and transfers.create")
	p.click(pageLink("Accounts"))
	p.has(heading("Accounts"))
	p.disabled(button("New transfer"), "Needs the permission transfers.create")
	p.disabled(button("New account"), "Needs the permission accounts.write")

	// The keyboard reaches the button, sees the reason, and does nothing with it.
	p.press(kb.Tab)
	p.focuses("New account")
	p.sees("Needs the permission accounts.write")
	p.press(kb.Enter)
	p.press(kb.Escape)
	p.seesNo("Needs the permission accounts.write")
	p.hasNo(dialog("New account"))

	p.open("/keys")
	p.sees("Your key may not see this")
	p.open("/new-transfer")
	p.disabled(button("Transfer"), "Needs the permission transfers.create")
}

// TestSignInKeys: an administrator makes a key, whose secret is shown once and works, and revokes
// it.
func TestSignInKeys(t *testing.T) {
	s := serveKeys(t)
	admin := s.key(t, "admin", "--name=root")
	p := newSignedOutPage(t, s.address)
	p.expect("status of 400 (Bad Request) http://" + s.address + "/transfers.v1.AccessService/")
	p.open("/")
	p.signIn(admin)
	p.has(heading("Keys"), row("root"), row("till"))
	p.click(button("New key"))
	form := dialog("New key")
	p.click(button("Make key").in(form))
	p.sees("Enter a name", "Choose what the key may do")
	p.fill(textbox("Name").in(form), "Books")
	p.click(radio("viewer").in(form))
	p.fill(textbox("Networks").in(form), "everywhere")
	p.click(button("Make key").in(form))
	p.sees("network")
	p.fill(textbox("Networks").in(form), "127.0.0.0/8, ::1")
	p.click(button("Make key").in(form))
	p.has(dialog("Keep the secret"))
	p.look("keys-secret")
	secret := evaluate[string](p, `document.querySelector("dialog code").innerText`)
	p.click(button("I have kept it"))
	p.seesNo(secret)
	p.has(row("Books"))
	p.sees("Only from 127.0.0.0/8")

	other := newSignedOutPage(t, s.address)
	other.open("/accounts")
	other.signIn(secret)
	other.has(row("USD equity"))

	p.click(button("Rotate Books"))
	p.picture("keys-rotate-1280-light.png")
	p.click(button("Rotate").in(dialog("Rotate “Books”")))
	p.has(dialog("Keep the secret"))
	p.click(button("I have kept it"))
	p.sees("Old secret ends")

	p.click(button("Revoke root"))
	p.click(button("Revoke key").in(dialog("Revoke “root”?")))
	p.sees("The last key that manages keys")
	p.look("keys-revoke")
	p.click(button("Keep it"))
	p.click(button("Revoke Books"))
	p.click(button("Revoke key").in(dialog("Revoke “Books”?")))
	p.hasNo(dialog("Revoke “Books”?"))
	p.hasNo(button("Revoke Books"))
	other.has(heading("Sign in"))
}

// TestSignInChanged: who is signed in with a key that is changed stays so, and may do what it
// permits now.
func TestSignInChanged(t *testing.T) {
	s := serveKeys(t)
	viewer, admin := s.key(t, "viewer", "--name=Vera"), s.key(t, "admin")
	a, b := s.account(t, "Ada Lovelace", "100"), s.account(t, "Grace Hopper", "0")
	p := newSignedOutPage(t, s.address)
	p.open("/transfers")
	p.signIn(viewer)
	p.says("Live")
	p.remember()
	p.hasNo(pageLink("Webhooks"))

	keys := transfersv1connect.NewAccessServiceClient(&http.Client{Transport: bearer(admin)}, s.url(""))
	list, err := keys.ListApiKeys(t.Context(), &transfersv1.ListApiKeysRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range list.GetApiKeys() {
		if key.GetDisplayName() != "Vera" {
			continue
		}
		if _, err := keys.UpdateApiKey(t.Context(), &transfersv1.UpdateApiKeyRequest{
			ApiKeyId: key.GetApiKeyId(), DisplayName: "Vera Rubin", Role: "treasurer",
		}); err != nil {
			t.Fatal(err)
		}
	}
	p.has(pageLink("Webhooks"))
	p.sees("Vera Rubin")
	p.says("Live")
	s.transfer(t, &transfersv1.CreateTransferRequest{FromAccountId: a, ToAccountId: b, Amount: "1", Reference: "rent"})
	p.has(row("rent"))
	p.remembers()
}

// TestSignInLooks: the pages of keys are free of errors, no wider than their window, and have
// nothing that axe-core calls serious or critical, in both themes on desktop and phone.
func TestSignInLooks(t *testing.T) {
	s := serveKeys(t)
	admin, viewer := s.key(t, "admin", "--name=The administrators of the ledger"), s.key(t, "viewer", "--name=Vera")
	s.key(t, "sender", "--name=Checkout of the web shop, in the data centre in Frankfurt", "--networks=10.0.0.0/8,203.0.113.7")
	s.key(t, "operator", "--name=Support", "--expires-in=240h")
	s.revoke(t, "Support")
	account := s.account(t, "Ada Lovelace", "100")
	p := newSignedOutPage(t, s.address)
	p.open("/accounts")
	p.look("signin")
	p.signIn("itk_wrong")
	p.sees("This key is not valid.")
	p.look("signin-wrong")
	p.signIn(viewer)
	p.has(row("Ada Lovelace"))
	p.look("viewer-accounts")
	p.open("/accounts/" + account)
	p.has(heading("Ada Lovelace"))
	evaluate[bool](p, `[...document.querySelectorAll("button")].find((b) => b.innerText.startsWith("Freeze")).focus(); true`)
	p.sees("Needs the permissions accounts.write and accounts.policy")
	p.look("viewer-account")
	p.emulate(phone, "light")
	p.click(button("Open menu"))
	p.picture("viewer-menu-390-light.png")
	p.emulate(desktop, "light")
	p.click(button("Sign out"))
	p.open("/keys")
	p.signIn(admin)
	p.has(row("Vera"))
	p.look("keys")
	p.click(button("New key"))
	p.has(dialog("New key"))
	p.look("keys-new")
	p.open("/accounts")
	p.sees("Your key may not see this")
	p.look("admin-accounts")
	p.open("/developers")
	p.sees("Authorization: Bearer $KEY")
	p.look("developers-key")
}

// look checks the page in both themes on desktop and phone, and returns to the desktop.
func (p *page) look(name string) {
	p.t.Helper()
	for _, size := range [][2]int64{phone, desktop} {
		for _, theme := range []string{"dark", "light"} {
			p.emulate(size, theme)
			p.settled()
			if n := overflow(p); n > 0 {
				p.t.Errorf("%s, %d wide, %s: the page is %d pixels wider than the window", name, size[0], theme, n)
			}
			for _, found := range axe(p) {
				p.t.Errorf("%s, %d wide, %s: %s", name, size[0], theme, found)
			}
			p.picture(fmt.Sprintf("%s-%d-%s.png", name, size[0], theme))
		}
	}
}
