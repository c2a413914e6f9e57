"""more of jobs"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

import perijove_hub.store.models

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('run_attempts', schema=None) as batch_op:
        batch_op.add_column(sa.Column('failed_cell', sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column('events_sha256', sa.String(length=64), nullable=True))

    with op.batch_alter_table('notification_deliveries', schema=None) as batch_op:
        batch_op.add_column(sa.Column('tried_at', perijove_hub.store.models.UtcDateTime(), nullable=True))
        batch_op.add_column(sa.Column('error', sa.Text(), nullable=True))
    with op.batch_alter_table('workers', schema=None) as batch_op:
        batch_op.add_column(
            sa.Column('leads_since', perijove_hub.store.models.UtcDateTime(), nullable=True)
        )
    with op.batch_alter_table('datasets', schema=None) as batch_op:
        batch_op.add_column(sa.Column('writes', sa.BigInteger(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table('datasets', schema=None) as batch_op:
        batch_op.drop_column('writes')
    with op.batch_alter_table('workers', schema=None) as batch_op:
        batch_op.drop_column('leads_since')
    with op.batch_alter_table('notification_deliveries', schema=None) as batch_op:
        batch_op.drop_column('error')
        batch_op.drop_column('tried_at')

    with op.batch_alter_table('run_attempts', schema=None) as batch_op:
        batch_op.drop_column('events_sha256')
        batch_op.drop_column('failed_cell')
