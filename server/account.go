package server

import (
	"context"

	"github.com/shopspring/decimal"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

// An accountService implements transfers.v1.AccountService.
type accountService struct {
	ledger  *postgres.Ledger
	watches context.Context
}

// CreateAccount opens an account.
func (s *accountService) CreateAccount(
	ctx context.Context, req *transfersv1.CreateAccountRequest,
) (*transfersv1.CreateAccountResponse, error) {
	params, err := accountParams(req)
	if err != nil {
		return nil, err
	}
	account, replayed, err := s.ledger.CreateAccount(ctx, params)
	if err != nil {
		return nil, err
	}
	if replayed {
		markReplayed(ctx)
	}
	return &transfersv1.CreateAccountResponse{Account: accountToProto(&account)}, nil
}

func accountParams(req *transfersv1.CreateAccountRequest) (p ledger.AccountParams, err error) {
	p = ledger.AccountParams{
		Currency: req.GetCurrency(), DisplayName: req.GetDisplayName(), ImageURL: req.GetImageUrl(), Metadata: req.GetMetadata(),
		DryRun: req.GetValidateOnly(),
	}
	if p.ID, err = parseID("account_id", req.GetAccountId()); err != nil {
		return p, err
	}
	if p.InitialBalance, err = parseAmount("initial_balance", req.GetInitialBalance()); err != nil {
		return p, err
	}
	if p.MinBalance, err = parseAmount("min_balance", req.GetMinBalance()); err != nil {
		return p, err
	}
	if p.MaxBalance, err = parseOptional("max_balance", req.MaxBalance); err != nil {
		return p, err
	}
	most, err := parseOptional("max_transfer_amount", req.MaxTransferAmount)
	if err != nil {
		return p, err
	}
	p.Policy.MaxTransfer = pointer(most)
	if len(req.GetLimits()) > 0 {
		p.Policy.Limits, err = parseLimits("limits", req.GetLimits())
	}
	return p, err
}

// GetAccount reads an account.
func (s *accountService) GetAccount(
	ctx context.Context, req *transfersv1.GetAccountRequest,
) (*transfersv1.GetAccountResponse, error) {
	read := s.accountNow
	if req.GetAsOf() != nil {
		read = s.accountAt
	}
	account, err := read(ctx, req)
	if err != nil {
		return nil, err
	}
	return &transfersv1.GetAccountResponse{Account: accountToProto(&account)}, nil
}

// ListAccounts reads a page of accounts.
func (s *accountService) ListAccounts(
	ctx context.Context, req *transfersv1.ListAccountsRequest,
) (*transfersv1.ListAccountsResponse, error) {
	filter := postgres.AccountFilter{Currency: req.GetCurrency(), Search: req.GetSearch()}
	if req.GetStatus() != transfersv1.Account_STATUS_UNSPECIFIED {
		filter.Status = ledger.AccountStatus(req.GetStatus().String())
	}
	accounts, token, err := s.ledger.ListAccounts(ctx, filter, pageOf(req))
	if err != nil {
		return nil, err
	}
	answer := &transfersv1.ListAccountsResponse{NextPageToken: token, Accounts: make([]*transfersv1.Account, len(accounts))}
	for i := range accounts {
		answer.Accounts[i] = accountToProto(&accounts[i])
	}
	return answer, nil
}

// UpdateAccount changes an account.
func (s *accountService) UpdateAccount(
	ctx context.Context, req *transfersv1.UpdateAccountRequest,
) (*transfersv1.UpdateAccountResponse, error) {
	change, err := accountChange(req)
	if err != nil {
		return nil, err
	}
	account, err := s.ledger.UpdateAccount(ctx, change)
	if err != nil {
		return nil, err
	}
	return &transfersv1.UpdateAccountResponse{Account: accountToProto(&account)}, nil
}

// accountChange reads what the mask names; without a mask, what the account has set.
func accountChange(req *transfersv1.UpdateAccountRequest) (ledger.AccountChange, error) {
	account := req.GetAccount()
	id, err := parseID("account.account_id", account.GetAccountId())
	if err != nil {
		return ledger.AccountChange{}, err
	}
	paths := req.GetUpdateMask().GetPaths()
	if len(paths) == 0 {
		paths = setPaths(account)
	}
	if len(paths) == 0 {
		return ledger.AccountChange{}, invalidField("update_mask", "names no field to change, and account has none set")
	}
	change := ledger.AccountChange{ID: id, ExpectedVersion: req.ExpectedVersion, DryRun: req.GetValidateOnly()}
	for _, path := range paths {
		if err := changePath(&change, account, path); err != nil {
			return ledger.AccountChange{}, err
		}
	}
	return change, nil
}

// setPaths returns the fields that can change and that the account has set.
func setPaths(account *transfersv1.Account) []string {
	var paths []string
	for _, field := range [...]struct {
		path string
		set  bool
	}{
		{"display_name", account.GetDisplayName() != ""},
		{"image_url", account.GetImageUrl() != ""},
		{"metadata", len(account.GetMetadata()) > 0},
		{"min_balance", account.MinBalance != nil},
		{"max_balance", account.MaxBalance != nil},
		{"max_transfer_amount", account.MaxTransferAmount != nil},
		{"debit_block", account.GetDebitBlock() != nil},
		{"credit_block", account.GetCreditBlock() != nil},
		{"limits", len(account.GetLimits()) > 0},
		{"status", account.GetStatus() != transfersv1.Account_STATUS_UNSPECIFIED},
	} {
		if field.set {
			paths = append(paths, field.path)
		}
	}
	return paths
}

// changeable lists what changePath takes.
const changeable = "; the fields that can change are display_name, image_url, metadata, min_balance, max_balance, " +
	"max_transfer_amount, debit_block, credit_block, limits and status"

// changePath adds one path of the mask to the change. A value that is not set clears the field if
// it can be empty.
func changePath(change *ledger.AccountChange, account *transfersv1.Account, path string) error {
	switch path {
	case "display_name":
		name := account.GetDisplayName()
		change.DisplayName = &name
	case "image_url":
		url := account.GetImageUrl()
		change.ImageURL = &url
	case "metadata":
		change.Metadata = account.GetMetadata()
		if change.Metadata == nil {
			change.Metadata = map[string]string{}
		}
	case "min_balance":
		if account.MinBalance == nil {
			return invalidField("account.min_balance", "is named in update_mask but not set; an account cannot be without a floor")
		}
		var floor decimal.Decimal
		floor, err := parseAmount("account.min_balance", account.GetMinBalance())
		if err != nil {
			return err
		}
		change.MinBalance = &floor
	case "status":
		if account.GetStatus() == transfersv1.Account_STATUS_UNSPECIFIED {
			return invalidField("account.status", "is named in update_mask but not set")
		}
		status := ledger.AccountStatus(account.GetStatus().String())
		change.Status = &status
	case "max_balance", "max_transfer_amount", "debit_block", "credit_block", "limits":
		return changePolicy(change, account, path)
	case "account_id", "currency", "balance", "available", "held", "incoming", "version", "create_time", "update_time":
		return invalidField("update_mask", path+" is read-only"+changeable)
	default:
		return invalidField("update_mask", "an account has no field "+clip(path, 64)+changeable)
	}
	return nil
}

// changePolicy adds a path of an account's restrictions. A value that is not set clears it.
func changePolicy(change *ledger.AccountChange, account *transfersv1.Account, path string) error {
	field := "account." + path
	switch path {
	case "max_balance":
		most, err := parseOptional(field, account.MaxBalance)
		change.MaxBalance = &most
		return err
	case "max_transfer_amount":
		most, err := parseOptional(field, account.MaxTransferAmount)
		change.MaxTransfer = &most
		return err
	case "debit_block":
		block, err := parseBlock(field, account.GetDebitBlock())
		change.DebitBlock = block
		return err
	case "credit_block":
		block, err := parseBlock(field, account.GetCreditBlock())
		change.CreditBlock = block
		return err
	default:
		limits, err := parseLimits(field, account.GetLimits())
		change.Limits = &limits
		return err
	}
}

// ListEntries reads a page of an account's entries.
func (s *accountService) ListEntries(
	ctx context.Context, req *transfersv1.ListEntriesRequest,
) (*transfersv1.ListEntriesResponse, error) {
	id, err := parseID("account_id", req.GetAccountId())
	if err != nil {
		return nil, err
	}
	start, end, err := parseRange(req.GetStartTime(), req.GetEndTime())
	if err != nil {
		return nil, err
	}
	entries, token, err := s.ledger.ListEntries(ctx, postgres.EntryFilter{
		AccountID:   id,
		OldestFirst: req.GetOrder() == transfersv1.ListEntriesRequest_OLDEST_FIRST,
		Start:       start,
		End:         end,
	}, pageOf(req))
	if err != nil {
		return nil, err
	}
	answer := &transfersv1.ListEntriesResponse{NextPageToken: token, Entries: make([]*transfersv1.Entry, len(entries))}
	for i := range entries {
		answer.Entries[i] = entryToProto(&entries[i])
	}
	return answer, nil
}
