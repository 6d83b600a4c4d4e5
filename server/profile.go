package server

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/internal/postgres"
)

// GetProfiles reads the public profiles of accounts.
func (s *accountService) GetProfiles(
	ctx context.Context, req *transfersv1.GetProfilesRequest,
) (*transfersv1.GetProfilesResponse, error) {
	ids := make([]uuid.UUID, len(req.GetAccountIds()))
	for i, text := range req.GetAccountIds() {
		var err error
		if ids[i], err = parseID(fmt.Sprintf("account_ids[%d]", i), text); err != nil {
			return nil, err
		}
	}
	profiles, err := s.ledger.GetProfiles(ctx, ids)
	if err != nil {
		return nil, err
	}
	answer := &transfersv1.GetProfilesResponse{Profiles: make([]*transfersv1.Profile, len(profiles))}
	for i := range profiles {
		answer.Profiles[i] = profileToProto(&profiles[i])
	}
	return answer, nil
}

func profileToProto(p *postgres.Profile) *transfersv1.Profile {
	return &transfersv1.Profile{
		AccountId:   p.AccountID.String(),
		Currency:    p.Currency,
		DisplayName: p.DisplayName,
		ImageUrl:    p.ImageURL,
		Metadata:    p.Metadata,
	}
}
