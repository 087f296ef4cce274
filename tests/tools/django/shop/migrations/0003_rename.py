from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("shop", "0002_add")]
    operations = [
        migrations.RenameField("book", "pages", "page_count"),
        migrations.RenameModel("Tag", "Label"),
        migrations.RenameField("book", "tags", "labels"),
    ]
