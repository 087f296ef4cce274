/* Tables as templates for those who make infrastructure otherwise: AWS CloudFormation in JSON, and
 * Terraform in its JSON syntax (for a file that ends in .tf.json; hashicorp/aws 4.60 or later). */
#ifndef SYNCD_DYNAMODB_TEMPLATES_H
#define SYNCD_DYNAMODB_TEMPLATES_H

#include "dynamodb/tables.h"

enum template_format { TEMPLATE_CLOUDFORMATION, TEMPLATE_TERRAFORM };

/* "cloudformation", "terraform"; false for any other word. */
bool template_format_find(const char *word, enum template_format *out);

/* Append the whole text, ending in a newline; the same tables give the same bytes. 0 or -ENOMEM. */
int templates_print(enum template_format format, const struct table_definition *const *tables,
                    size_t count, struct buf *out);

#endif
