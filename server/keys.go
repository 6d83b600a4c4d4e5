package server

import (
	"context"
	"errors"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/internal/access"
)

// An accessService implements transfers.v1.AccessService.
type accessService struct {
	keys     *access.Keyring // nil: none are kept
	required bool            // callers need a key
}

// CreateApiKey makes a key.
func (s *accessService) CreateApiKey(
	ctx context.Context, req *transfersv1.CreateApiKeyRequest,
) (*transfersv1.CreateApiKeyResponse, error) {
	params, err := keyParams(req)
	if err != nil {
		return nil, err
	}
	keys, err := s.keyring()
	if err != nil {
		return nil, err
	}
	key, secret, err := keys.Create(ctx, callOf(ctx).caller, params)
	if err != nil {
		return nil, err
	}
	return &transfersv1.CreateApiKeyResponse{ApiKey: keyToProto(&key), Secret: secret}, nil
}

// keyring returns the keys, which a server without a database of its own has not.
func (s *accessService) keyring() (*access.Keyring, error) {
	if s.keys == nil {
		return nil, newError(connect.CodeUnimplemented, errors.New("this server keeps no keys"), info("KEYS_NOT_KEPT", nil))
	}
	return s.keys, nil
}

// keyParams reads what CreateApiKey and UpdateApiKey have in common.
func keyParams(req interface {
	GetDisplayName() string
	GetRole() string
	GetGrants() []*transfersv1.Grant
	GetNetworks() []string
	GetExpireTime() *timestamppb.Timestamp
}) (access.Params, error) {
	p := access.Params{Name: req.GetDisplayName(), Role: req.GetRole(), Networks: req.GetNetworks()}
	for _, grant := range req.GetGrants() {
		p.Grants = append(p.Grants, access.Grant{Permissions: grant.GetPermissions()})
	}
	expires, err := parseTime("expire_time", req.GetExpireTime())
	if err == nil && !expires.IsZero() {
		p.ExpireTime = &expires
	}
	return p, err
}

// GetApiKey reads a key.
func (s *accessService) GetApiKey(
	ctx context.Context, req *transfersv1.GetApiKeyRequest,
) (*transfersv1.GetApiKeyResponse, error) {
	id, err := parseID("api_key_id", req.GetApiKeyId())
	if err != nil {
		return nil, err
	}
	keys, err := s.keyring()
	if err != nil {
		return nil, err
	}
	key, err := keys.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	return &transfersv1.GetApiKeyResponse{ApiKey: keyToProto(&key)}, nil
}

// ListApiKeys reads a page of keys.
func (s *accessService) ListApiKeys(
	ctx context.Context, req *transfersv1.ListApiKeysRequest,
) (*transfersv1.ListApiKeysResponse, error) {
	keys, err := s.keyring()
	if err != nil {
		return nil, err
	}
	list, token, err := keys.List(ctx, req.GetPageSize(), req.GetPageToken())
	if err != nil {
		return nil, err
	}
	response := &transfersv1.ListApiKeysResponse{NextPageToken: token, ApiKeys: make([]*transfersv1.ApiKey, len(list))}
	for i := range list {
		response.ApiKeys[i] = keyToProto(&list[i])
	}
	return response, nil
}

// UpdateApiKey changes a key.
func (s *accessService) UpdateApiKey(
	ctx context.Context, req *transfersv1.UpdateApiKeyRequest,
) (*transfersv1.UpdateApiKeyResponse, error) {
	id, err := parseID("api_key_id", req.GetApiKeyId())
	if err != nil {
		return nil, err
	}
	params, err := keyParams(req)
	if err != nil {
		return nil, err
	}
	keys, err := s.keyring()
	if err != nil {
		return nil, err
	}
	key, err := keys.Update(ctx, callOf(ctx).caller, id, params, req.GetExpectedVersion())
	if err != nil {
		return nil, err
	}
	return &transfersv1.UpdateApiKeyResponse{ApiKey: keyToProto(&key)}, nil
}

// RotateApiKey gives a key a new secret.
func (s *accessService) RotateApiKey(
	ctx context.Context, req *transfersv1.RotateApiKeyRequest,
) (*transfersv1.RotateApiKeyResponse, error) {
	id, err := parseID("api_key_id", req.GetApiKeyId())
	if err != nil {
		return nil, err
	}
	overlap, err := parseDuration("overlap", req.GetOverlap())
	if err != nil {
		return nil, err
	}
	keys, err := s.keyring()
	if err != nil {
		return nil, err
	}
	key, secret, err := keys.Rotate(ctx, id, overlap)
	if err != nil {
		return nil, err
	}
	return &transfersv1.RotateApiKeyResponse{ApiKey: keyToProto(&key), Secret: secret}, nil
}

// RevokeApiKey ends a key.
func (s *accessService) RevokeApiKey(
	ctx context.Context, req *transfersv1.RevokeApiKeyRequest,
) (*transfersv1.RevokeApiKeyResponse, error) {
	id, err := parseID("api_key_id", req.GetApiKeyId())
	if err != nil {
		return nil, err
	}
	keys, err := s.keyring()
	if err != nil {
		return nil, err
	}
	key, err := keys.Revoke(ctx, id)
	if err != nil {
		return nil, err
	}
	return &transfersv1.RevokeApiKeyResponse{ApiKey: keyToProto(&key)}, nil
}

// GetCaller tells callers who they are.
func (s *accessService) GetCaller(ctx context.Context, _ *transfersv1.GetCallerRequest) (*transfersv1.GetCallerResponse, error) {
	response := &transfersv1.GetCallerResponse{AuthenticationRequired: s.required}
	if caller := callOf(ctx).caller; caller != nil {
		response.ApiKeyId, response.DisplayName, response.Role = caller.KeyID.String(), caller.Name, caller.Role
		response.Permissions = caller.Permissions.Names()
		response.ExpireTime = optionalTime(caller.ExpireTime)
	}
	return response, nil
}

func keyToProto(k *access.Key) *transfersv1.ApiKey {
	message := &transfersv1.ApiKey{
		ApiKeyId:            k.ID.String(),
		DisplayName:         k.Name,
		Role:                k.Role,
		Networks:            k.Networks,
		CreateTime:          timestamppb.New(k.CreateTime),
		ExpireTime:          optionalTime(k.ExpireTime),
		LastUseTime:         optionalTime(k.LastUseTime),
		LastUseAddress:      k.LastUseAddress,
		OldSecretExpireTime: optionalTime(k.OldSecretExpireTime),
		Status:              transfersv1.ApiKey_ACTIVE,
		Version:             k.Version,
	}
	if k.RevokeTime != nil {
		message.Status = transfersv1.ApiKey_REVOKED
	}
	if k.OldSecretExpireTime != nil && !k.OldSecretExpireTime.After(time.Now()) {
		message.OldSecretExpireTime = nil
	}
	for _, grant := range k.Grants {
		message.Grants = append(message.Grants, &transfersv1.Grant{Permissions: grant.Permissions})
	}
	return message
}
