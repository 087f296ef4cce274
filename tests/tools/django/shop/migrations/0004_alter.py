from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("shop", "0003_rename")]
    operations = [
        migrations.AlterField("book", "page_count", models.CharField(max_length=20, default="0")),
    ]
