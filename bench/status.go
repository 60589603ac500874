package main

import (
	"context"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

func (b *bench) status(ctx context.Context) (*yardmasterv1.OperatorServiceStatusResponse, error) {
	return b.client.Operator().Status(ctx, &yardmasterv1.OperatorServiceStatusRequest{})
}
